"""A table of records, one of which can be selected."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def record_table(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {columns, wide, figures, rows: [{key, cells, tone}], selected, message}. Event: pick, with the key.

    Columns in ``wide`` share the room that the others leave, so that the table fits its place; those in ``figures`` are
    flush right. A row without a key cannot be selected; without columns the table is hidden.
    """
    return live("record_table", value, elem_id=elem_id, events=("pick",), start=start)
