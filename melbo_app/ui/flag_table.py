"""Tables of flags over many R: a line for each flag, and how many of several sampled texts do what."""

from collections.abc import Sequence
from typing import Any

from melbo_app.analysis.flags import FlagKind
from melbo_app.library.completion import Comparison, Completion
from melbo_app.studies.flagging import Flagged, gathered
from melbo_app.studies.spreads import Cell, Spread, at_each_radius, cell_of, spreads
from melbo_app.ui.present import amount
from melbo_app.ui.stamp import stamp

COLUMNS = ["flag", "R", "vector", "reason", "text"]
WIDE = ["reason", "text"]
SPREAD_COLUMNS = ["R", "vector", "readable", "differ", "flags"]
SPREAD_FIGURES = ["readable", "differ"]
EMPTY = "This table will show the flagged completions at all R."


def flag_table(comparisons: Sequence[Comparison], norm: float | None, bank: str | None = None) -> dict[str, Any]:
    """The flags of these texts; those of further seeds stand in the line of the first. ``norm`` is the median norm of
    which R is shown as a multiple; ``bank`` made all of them, or None where each R has vectors of its own."""
    texts = [one for comparison in comparisons for one in comparison.completions]
    several = any(one.prompt_index for one in texts)
    found: dict[tuple[FlagKind, Cell], list[Flagged]] = {}
    for flagged in gathered(comparisons):
        found.setdefault((flagged.flag.kind, cell_of(flagged.completion)), []).append(flagged)
    rows, counted = [], {cell: one.texts for cell, one in _counted(comparisons).items()}
    for (kind, cell), flags in found.items():
        one, share = flags[0].completion, [f"{len(flags)} of {counted.get(cell, 1)}"] if counted else []
        where = [_radius(one.vector, one.radius, norm), _who(one, several)]
        cells = [kind, *where, *share, flags[0].flag.reason, " ".join(one.text.split())]
        rows.append({"key": f"{one.id} {kind}", "cells": cells})
    message = "None of the completions is flagged." if comparisons else EMPTY
    stamped = stamp(texts, {}, own_norms=True) if comparisons else None  # its R are in fields of their own
    if stamped is not None:
        stamped |= {"bank": bank} if bank else {"bank": None, "bank_hash": None}
    columns = [*COLUMNS[:3], "texts", *COLUMNS[3:]] if counted else COLUMNS
    return {"columns": columns, "wide": WIDE, "rows": rows, "message": message, "stamp": stamped}


def spread_table(comparisons: Sequence[Comparison], norm: float | None) -> dict[str, Any]:
    """How many of several texts of each vector at each R do what; without columns where each cell has one text."""
    rows, counted = [], _counted(comparisons)
    for (vector, radius), one in at_each_radius(counted).items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.flags) or "–"
        differ = "–" if vector is None else f"{one.differ} of {one.texts}"
        who = "none" if vector is None else str(vector)
        cells = [_radius(vector, radius, norm), who, f"{one.readable} of {one.texts}", differ, kinds]
        rows.append({"cells": cells})
    if not rows:
        return {"columns": []}
    return {"columns": SPREAD_COLUMNS, "figures": SPREAD_FIGURES, "wide": ["flags"], "rows": rows}


def _counted(comparisons: Sequence[Comparison]) -> dict[Cell, Spread]:
    """The spreads of all comparisons; the unsteered texts, which each has, count once."""
    found: dict[Cell, Spread] = {}
    for comparison in comparisons:
        found.update(spreads(comparison.completions, comparison.samples))
    return found


def _radius(vector: int | str | None, radius: float, norm: float | None) -> str:
    if vector is None:
        return "–"
    return amount(radius) + (f" ({amount(radius / norm, 2)} ×)" if norm else "")


def _who(completion: Completion, several: bool) -> str:
    who = "none" if completion.vector is None else str(completion.vector)
    return f"{who}, prompt {completion.prompt_index + 1}" if several else who
