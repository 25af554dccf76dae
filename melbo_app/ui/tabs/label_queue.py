"""What comes next in the room Label."""

from melbo_app.studies.labelling_order import LabellingOrder
from melbo_app.ui.annotator import annotator
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
