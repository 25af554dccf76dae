"""What the list of vectors says of each, and the slider of each R: from labels, records and stored texts."""

from typing import Any

from melbo_app.errors import StorageError
from melbo_app.library.bank import BankRecord
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
    labels, runaways = workbench.bank_labels(bank), workbench.runaways(bank)
    lines = []
    for vector in range(vectors):
        label = labels.get(vector)
        lines.append(
            {
                "index": vector,
                "name": label.name if label else "",
                "rating": label.rating if label else None,
                "tags": list(label.tags) if label else [],
                "text": _typical(workbench, bank, vector),
                "objective": record.objective[vector] if record.objective else None,
                "effect": effect_lines(record, vector),
                "runaway": [
                    {"radius": radius, "where": RAN_AWAY[place]} for place, radius in runaways.get(vector, {}).items()
                ],
            }
        )
    return lines


def measured_radii(workbench: Workbench, bank: str) -> list[dict[str, Any]]:
    """What the stored texts of a bank say of each R: how many there are, and how many of them are readable."""
    found: dict[float, dict[str, Any]] = {}
    try:
        counted = workbench.verdicts(bank)
    except StorageError:  # the slider does without
        return []
    for radius, verdict, texts in counted:
        at = found.setdefault(radius, {"radius": radius, "texts": 0, "readable": 0})
        at["texts"] += texts if verdict else 0
        at["readable"] += texts if verdict == "readable" else 0
    return [at for at in found.values() if at["texts"]]


def _typical(workbench: Workbench, bank: str, vector: int) -> dict[str, str] | None:
    """The newest text under a vector, and its verdict."""
    try:
        found = workbench.latest_completion(bank, vector)
    except StorageError:  # the list does without
        return None
    if found is None:
        return None
    verdict = found.scores.verdict if found.scores else None
    return {"text": first_line(found.text, 90), "verdict": verdict or "", "prompt": first_line(found.prompt.user)}
