"""A table of records of which one can be chosen."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def record_table(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {columns, rows: [{key, cells, tone}], selected, message}. Event: pick, with the key."""
    return live("record_table", value, elem_id=elem_id)
