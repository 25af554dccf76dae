"""What several annotators say of one vector, side by side."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from melbo_app.library.label import Label, LabelVersion
from melbo_app.studies.disagreements import NAMELESS
from melbo_app.ui.components.live import live


def given_labels(*, elem_id: str) -> gr.HTML:
    """Value: {message, rows: [{who, settled, fields}], settling, may_settle}. Events: take {fields}; settle and own,
    which turn the form to the label that counts and back."""
    return live("given_labels", None, elem_id=elem_id, events=("take", "settle", "own"))


def given(labels: Sequence[LabelVersion], *, settling: bool, may_settle: bool, message: str = "") -> dict[str, Any]:
    """The component's value; ``settling``: the form holds the settled label."""
    return {
        "message": message,
        "rows": [_row(one) for one in labels],
        "settling": settling,
        "may_settle": may_settle and bool(labels),
    }


def fields(label: Label) -> list[Any]:
    """A label as the form holds it."""
    return [label.name, list(label.tags), label.rating or 0, label.note]


def _row(label: LabelVersion) -> dict[str, Any]:
    who = "settled" if label.settled else label.annotator or NAMELESS
    return {"who": who, "settled": label.settled, "fields": fields(label)}
