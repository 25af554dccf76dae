"""What a cell of the grid says of its texts of several seeds."""

from collections.abc import Sequence
from typing import Any

from melbo_app.analysis.difference import mark
from melbo_app.library.completion import Completion
from melbo_app.studies.spreads import Cell, cell_of, spreads


def seeds_of(completions: Sequence[Completion], samples: Sequence[Completion]) -> dict[Cell, dict[str, Any]]:
    """For each cell with several seeds: texts (how many), counts ([how many, of what]), and each: seed, verdict and
    pieces of a text, in which differs what the unsteered text of the same seed does not have."""
    every = sorted([*completions, *samples], key=lambda one: one.seed)
    baselines = {(one.prompt_index, one.seed): one.text for one in every if one.vector is None}
    found = {}
    for cell, spread in spreads(completions, samples).items():
        counts = [(number, what) for number, what in spread.counts if cell[1] is not None or what != "differ"]
        each = [_text(one, baselines) for one in every if cell_of(one) == cell]
        found[cell] = {"texts": spread.texts, "counts": counts, "each": each}
    return found


def _text(one: Completion, baselines: dict[tuple[int, int], str]) -> dict[str, Any]:
    usual = None if one.vector is None else baselines.get((one.prompt_index, one.seed))
    pieces = [(one.text, False)] if usual is None else mark(usual, one.text)
    return {"seed": one.seed, "verdict": one.scores.verdict if one.scores else None, "pieces": pieces}
