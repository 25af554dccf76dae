"""A table of records of which one can be chosen."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def record_table(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {columns, wide, figures, rows: [{key, cells, tone}], selected, message}. Event: pick, with the key.

    The columns in ``wide`` share the room that the others leave, so that the table fits where it stands; those in
    ``figures`` are set flush right. A row without a key cannot be chosen; without columns there is nothing to see.
    """
    return live("record_table", value, elem_id=elem_id)
