"""The first lines of several texts; a click opens one."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def text_list(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {title, rows: [{id, head, text, cell}], more, bank}. Event: pick, with the ``id``; it selects the cell."""
    return live("text_list", value, elem_id=elem_id, events=("pick",))
