"""One line of progress under a button."""

import time
from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def progress_bar(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {state, fraction, text}, with ``at`` once idle; see the functions below."""
    return live("progress_bar", value, elem_id=elem_id)


def working(text: str, fraction: float | None = None) -> dict[str, Any]:
    """Running work; without a fraction the bar only moves."""
    return {"state": "working", "fraction": fraction, "text": text}


def resting(text: str = "") -> dict[str, Any]:
    """Nothing running; the text says how the last work ended.

    The time makes every end a new value, so a second "Done" is also shown and read out.
    """
    return {"state": "idle", "fraction": 0, "text": text, "at": time.time()}
