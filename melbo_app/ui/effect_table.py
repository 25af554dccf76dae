"""The effects of a bank's vectors, from its record: a table for all, lines for one."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from melbo_app.library.bank import BankRecord, EffectRecord

COLUMNS = ["vector", "prompts", "J per prompt", "mean ‖Δ‖", "agreement", "runaway"]
FIGURES = COLUMNS[2:]
TERMS = (
    "J: how much a vector changes the target layer, which training raises. ‖Δ‖: length of that change. Agreement: how "
    "alike it is on all prompts. Runaway: share of tokens that it turns into attention sinks, which breaks texts."
)
TRAINED, HELD_OUT = "training", "held-out"


def effect_table(record: BankRecord, vectors: int) -> dict[str, Any]:
    """Value of a record table. Each vector has a row for the prompts of its training and, if some were kept out,
    another one for those. The means come first; a dash stands for unknown.

    J is per prompt and not saturated, so that rows compare.
    """
    sides = _sides(record)
    if not any(values for _, side in sides for values in side):
        return {"columns": COLUMNS, "figures": FIGURES, "message": "The effects of its vectors were not measured."}
    every: list[int | None] = [*([None] if vectors > 1 else []), *range(vectors)]
    rows = [
        {"cells": ["" if place else "all" if vector is None else str(vector), name, *_figures(side, vector)]}
        for vector in every
        for place, (name, side) in enumerate(sides)
    ]
    return {"columns": COLUMNS, "figures": FIGURES, "rows": rows}


def effect_lines(record: BankRecord, vector: int) -> list[str]:
    """The effects of one vector, a line for each side."""
    lines = []
    for name, side in _sides(record):
        objective, change, agreement, runaway = _figures(side, vector)
        message = f"{name} prompts: J {objective} per prompt, mean ‖Δ‖ {change}, agreement {agreement}"
        lines.append(message + ("" if runaway != "–" else ", runaway not measured"))
    return lines


Side = tuple[Sequence[float] | None, Sequence[float] | None, Sequence[float] | None, Sequence[float] | None]


def _sides(record: BankRecord) -> list[tuple[str, Side]]:
    trained = _side(record.effect)
    if record.effect is None and record.objective and record.prompts:  # the sum over the prompts of the training
        trained = ([value / len(record.prompts) for value in record.objective], *trained[1:])
    sides = [(TRAINED, trained)]
    if record.held_out or record.held_out_effect:
        sides.append((HELD_OUT, _side(record.held_out_effect)))
    return sides


def _side(effect: EffectRecord | None) -> Side:
    if effect is None:
        return None, None, None, None
    return effect.objective, effect.change, effect.agreement, effect.runaway


def _figures(side: Side, vector: int | None) -> list[str]:
    """J, change, agreement and runaway of a vector, or their means, with the number of runaways."""
    objective, change, agreement, runaway = side
    first = [_text(_of(objective, vector), "#.4g"), _text(_of(change, vector), "#.3g")]
    first.append(_text(_of(agreement, vector), ".2f"))
    if runaway is None:
        return [*first, "–"]
    if vector is None:
        return [*first, f"{sum(share > 0 for share in runaway)} of {len(runaway)}"]
    return [*first, f"{max(runaway[vector], 0.01):.0%}" if runaway[vector] else "no"]


def _text(value: float | None, form: str) -> str:
    """The number with a fixed count of digits, so that columns compare."""
    return "–" if value is None else f"{value:{form}}".removesuffix(".")


def _of(values: Sequence[float] | None, vector: int | None) -> float | None:
    if values is None:
        return None
    return fmean(values) if vector is None else values[vector]
