"""One line of progress under a button."""

import time
from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def progress_bar(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {state, fraction, text, and for an end at}; see the functions below."""
    return live("progress_bar", value, elem_id=elem_id)


def working(text: str, fraction: float | None = None) -> dict[str, Any]:
    """Work under way; without a fraction the bar only moves."""
    return {"state": "working", "fraction": fraction, "text": text}


def resting(text: str = "") -> dict[str, Any]:
    """Nothing under way; the text says how the last work ended.

    With the time in it no two ends are equal: "Done" after "Done" is shown, and read out, as well.
    """
    return {"state": "idle", "fraction": 0, "text": text, "at": time.time()}
