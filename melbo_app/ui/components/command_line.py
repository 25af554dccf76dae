"""A command line that does the same as the page, to be copied."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def command_line(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {command, note}; without a command nothing is shown."""
    return live("command_line", value, elem_id=elem_id)
