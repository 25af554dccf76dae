"""The table of all labels of a bank, at the bottom of the room Label."""

from typing import Any

from melbo_app.ui.annotator import annotator
from melbo_app.ui.present import day
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["vector", "name", "tags", "rating", "note", "changed"]
WIDE = ["name", "tags", "note"]
NO_BANK = {"columns": COLUMNS, "wide": WIDE, "rows": [], "message": "Choose a bank."}


def label_table(workbench: Workbench, session: Session, bank: str | None, selected: int | None) -> dict[str, Any]:
    """What this browser's annotator may see of a bank's labels; a line for each vector, the ``selected`` one marked."""
    line = session.find(bank)
    if bank is None or line is None or not line.vectors:
        return NO_BANK
    labels = workbench.bank_labels(bank, seen_by=annotator(workbench))
    rows = []
    for number in range(line.vectors):
        label = labels.get(number)
        cells = [str(number)] + ["" for _ in COLUMNS[1:]]
        if label is not None:
            changed = day(label.updated) if label.updated else ""
            cells[1:] = [label.name, ", ".join(label.tags), "★" * (label.rating or 0), label.note, changed]
        rows.append({"key": str(number), "cells": cells})
    return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": None if selected is None else str(selected)}
