"""The fields and buttons of which the page has many."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

EXPLAINED = {
    "R": "length of vectors",
    "R × median norm": "relative length",
    "or R × median norm": "relative length",
    "R × median norm, from": "relative length of vectors",
    "Choose R": "R is the length of the vectors",
    "Source layer": "vectors added",
    "Target layer": "effect measured",
    "Source layers": "where vectors are added",
    "Target layers": "where their effect is measured",
    "Token scope": "tokens that count",
    "Effect budget": "cap for each token",
    "Distance threshold": "nearer: the same",
    "Seeds": "curves to merge",
    "p": "power of changes",
    "q (default: p)": "root of their sum",
    "λ of the cosines": "against likeness",
    "λ of agreement": "all prompts alike",
    "τ of agreement": "smaller: stricter",
    "Agreement": "what a prompt is compared with",
    "Start from": "first guess of the vectors",
}
"""A short explanation for each term that is a label."""


def number(label: str, elem_id: str, value: float | None = None, width: int = 80, **options: Any) -> gr.Number:
    """A field for a number."""
    return gr.Number(value, label=label, info=EXPLAINED.get(label), elem_id=elem_id, min_width=width, **options)


def whole_number(label: str, elem_id: str, value: int | None = None, width: int = 70, **options: Any) -> gr.Number:
    """A field for a whole number."""
    return gr.Number(
        value, label=label, info=EXPLAINED.get(label), precision=0, elem_id=elem_id, min_width=width, **options
    )


def text(label: str, elem_id: str, placeholder: str | None = None, width: int = 90, **options: Any) -> gr.Textbox:
    """A field for a word, or for a number that may be left out."""
    return gr.Textbox(
        label=label, info=EXPLAINED.get(label), placeholder=placeholder, elem_id=elem_id, min_width=width, **options
    )


def choice(label: str, elem_id: str, choices: Sequence[Any], value: Any, width: int, **options: Any) -> gr.Dropdown:
    """A list to choose from."""
    return gr.Dropdown(
        list(choices), value=value, label=label, info=EXPLAINED.get(label), elem_id=elem_id, min_width=width, **options
    )


def button(text: str, elem_id: str, width: int, **options: Any) -> gr.Button:
    """A button as wide as its text."""
    return gr.Button(text, elem_id=elem_id, scale=0, min_width=width, **options)


def small_button(text: str, elem_id: str, width: int, **options: Any) -> gr.Button:
    """A button of a second row."""
    return button(text, elem_id, width, size="sm", **options)
