"""A table of records of which one can be chosen."""

from melbo_app.ui.components.live import Live


class RecordTable(Live):
    """Value: {columns, rows: [{key, cells, tone}], selected, message}. Event: pick, with the key."""

    script = "record_table"
