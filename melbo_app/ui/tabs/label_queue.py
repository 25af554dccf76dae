"""What comes next in the room Label, and how far it is."""

from datetime import UTC, datetime
from typing import Any

import gradio as gr

from melbo_app.studies.labelling_order import LabellingOrder
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.labelling import labelling
from melbo_app.ui.fields import small_button
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

ALL = "all, by number"
DISAGREEMENTS = "disagreements, widest apart first"
QUEUES: dict[str, LabellingOrder] = {
    "unlabelled, by number": "by number",
    "unlabelled, strongest first": "strongest first",
    "unlabelled, most unlike first": "most unlike first",
    "unlabelled, alike together": "alike together",
    ALL: "by number",
    DISAGREEMENTS: "by number",
}
"""The orders that a person can choose."""


class LabelQueue:
    """The row at the top of the room: progress, order, and the number of the vector."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        settling = not workbench.why_not("settle_label")
        orders = [one for one in QUEUES if settling or one != DISAGREEMENTS]
        with gr.Row(elem_classes="mx-toolbar", elem_id="label-top", equal_height=True):
            self.done = labelling(elem_id="label-progress")
            self.order = gr.Dropdown(
                orders, value=orders[0], label="Order", show_label=False, container=False, elem_id="label-order",
                scale=0, min_width=210,
            )  # fmt: skip
            self.previous = small_button("‹ previous", "label-previous", 76)
            self.vector = gr.Number(
                0, label="Vector", show_label=False, container=False, precision=0, elem_id="label-vector", scale=0,
                min_width=64,
            )  # fmt: skip
            self.next = small_button("next ›", "label-next", 76)

    def progress(self, bank: str, vector: int, settles: bool) -> dict[str, Any]:
        """How far a bank is labelled, or what is to settle, and which vector is shown."""
        held = self._workbench.bank(bank)
        done = len(self._workbench.bank_labels(bank, seen_by=annotator(self._workbench)))
        said = f"{len(self._workbench.disagreements(bank))} to settle" if settles else ""
        where = {"of": f"{held.hash}/{vector}", "vector": vector, "radius": held.norms[vector]}
        return {"done": done, "total": len(held.norms), "said": said, **where, "at": datetime.now(UTC).isoformat()}

    def following(self, bank: str | None, at: int | None, order: str | None) -> int:
        """The vector that comes after ``at`` (None: first) in the ``order``."""
        line = self._session.find(bank)
        if bank is None or line is None or line.damaged:
            return 0
        found = after(self._workbench, bank, at, order)
        if found is not None or at is None:
            return found or 0
        if order == DISAGREEMENTS:
            gr.Info("Nothing else is left to settle.", duration=4)
            return at
        return at + 1


def after(workbench: Workbench, bank: str, at: int | None, queue: str | None) -> int | None:
    """The vector that comes after ``at`` (None: first), going round; None if no other is left."""
    if queue == DISAGREEMENTS:
        order = [one.vector for one in workbench.disagreements(bank)]
        left = [one for one in order if one != at]
    else:
        order = workbench.labelling_order(bank, QUEUES.get(queue or "", "by number"))
        labelled = workbench.bank_labels(bank, seen_by=annotator(workbench))
        left = [one for one in order if one != at and (queue == ALL or one not in labelled)]
    later = order[order.index(at) + 1 :] if at in order else order
    return next((one for one in later if one in left), next(iter(left), None))
