"""Lines of plain text that may come from a model or a file."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def note_view(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {lines, tone, about}; see ``note``."""
    return live("note", value, elem_id=elem_id)


def note(*lines: str, tone: str = "quiet", about: str = "") -> dict[str, Any]:
    """The component's value; tone is quiet, plain or warning, and ``about`` explains the lines on hovering."""
    return {"lines": [line for line in lines if line], "tone": tone, "about": about}
