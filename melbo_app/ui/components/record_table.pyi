"""A table of records of which one can be chosen."""

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class RecordTable(Live):
    """Value: {columns, rows: [{key, cells, tone}], selected, message}. Event: pick, with the key."""

    script = "record_table"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
