"""Two versions of a label: the stored one and the one in the form."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from melbo_app.library.label import LabelVersion
from melbo_app.ui.components.live import live
from melbo_app.ui.present import day

PARTS = ("Name", "Tags", "Rating", "Note")


def label_clash(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {title, rows: [{part, theirs, mine, differs}], fields}, empty without a clash. Events: theirs, mine."""
    return live("label_clash", value, elem_id=elem_id, events=("theirs", "mine"))


def clash(stored: LabelVersion, mine: Sequence[Any]) -> dict[str, Any]:
    """The component's value; ``mine`` are the fields of the form. ``fields`` are those of the stored label."""
    fields = [stored.name, list(stored.tags), stored.rating or 0, stored.note]
    rows = [
        {"part": part, "theirs": theirs, "mine": own, "differs": theirs != own}
        for part, theirs, own in zip(PARTS, _words(fields), _words(mine), strict=True)
    ]
    kind = "settled " if stored.settled else ""
    verb = "changed" if any(fields) else "removed"
    by = stored.annotator or stored.author
    who = f" by {by}" if by else ""
    when = f"on {day(stored.updated)}, after this form was filled"
    title = f"Vector {stored.vector}: the {kind}label was {verb}{who} {when}."
    return {"title": title, "rows": rows, "fields": fields}


def _words(fields: Sequence[Any]) -> list[str]:
    name, tags, rating, note = fields
    return [name or "", ", ".join(tags or []), "★" * int(rating or 0), note or ""]
