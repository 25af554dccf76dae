"""How well a bank and its baselines tell anomalous prompts from clean ones, as a table."""

from typing import Any

from melbo_app.studies.watcher import Detection, Figures


def detection_table(figures: Figures | None, share: float) -> dict[str, Any]:
    """The value of a table of records; the oracle, which knew the labels, is last."""
    if figures is None:
        return {"columns": []}
    found = f"true positives at {100 * share:g} %"
    columns = ["detector", "AUROC", "95 %", found, "95 % of these", "caught", "false alarms"]
    rows = [{"cells": _cells(one)} for one in (figures["bank"], *figures["baselines"])]
    return {"columns": columns, "figures": columns[1:], "wide": ["detector"], "rows": rows}


def _cells(one: Detection) -> list[str]:
    low, high = one["auroc_interval"]
    least, most = one["true_positives_interval"]
    return [
        one["name"], f"{one['auroc']:.3f}", f"{low:.2f} – {high:.2f}", f"{one['true_positives']:.0%}",
        f"{least:.0%} – {most:.0%}", f"{one['caught']:.0%}", f"{one['false_alarms']:.0%}",
    ]  # fmt: skip
