"""What the list of vectors says of each, and the slider of each R: from labels, records and stored texts."""

from typing import Any

from melbo_app.errors import StorageError
from melbo_app.library.bank import BankRecord
from melbo_app.ui.annotator import annotator
from melbo_app.ui.effect_table import effect_lines
from melbo_app.ui.present import first_line
from melbo_app.workbench import Workbench

RAN_AWAY = {
    "trained": "on its training prompts",
    "held out": "on held-out prompts",
    "steered": "when it was used for steering",
}


def vector_lines(workbench: Workbench, bank: str, record: BankRecord, vectors: int) -> list[dict[str, Any]]:
    """The ``vectors`` of the list's value, one for each vector of a bank."""
    labels = workbench.bank_labels(bank, seen_by=annotator(workbench))
    runaways, texts = workbench.runaways(bank), _typical(workbench, bank)
    lines = []
    for vector in range(vectors):
        label = labels.get(vector)
        lines.append(
            {
                "index": vector,
                "name": label.name if label else "",
                "rating": label.rating if label else None,
                "tags": list(label.tags) if label else [],
                "text": texts.get(vector),
                "objective": record.objective[vector] if record.objective else None,
                "effect": effect_lines(record, vector),
                "runaway": [
                    {"radius": radius, "where": RAN_AWAY[place]} for place, radius in runaways.get(vector, {}).items()
                ],
            }
        )
    return lines


def measured_radii(workbench: Workbench, bank: str) -> list[dict[str, Any]]:
    """What the stored texts of a bank are like at each R."""
    try:
        return [one._asdict() for one in workbench.radii(bank)]
    except StorageError:  # the slider does without
        return []


def _typical(workbench: Workbench, bank: str) -> dict[int, dict[str, Any]]:
    """The newest text under each vector, its verdict, and the first vector that says the same to the same prompt."""
    try:
        found = workbench.newest_texts(bank)
    except StorageError:  # the list does without
        return {}
    said: dict[tuple[str, float, str], int] = {}  # the first vector with each text
    lines = {}
    for vector, one in sorted(found.items()):
        first = said.setdefault((one.prompt.user, one.radius, " ".join(one.text.split())), vector)
        lines[vector] = {
            "text": first_line(one.text, 90),
            "verdict": (one.scores.verdict if one.scores else None) or "",
            "prompt": first_line(one.prompt.user),
            "same": None if first == vector else first,
        }
    return lines
