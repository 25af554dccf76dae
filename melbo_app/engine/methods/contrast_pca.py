"""The supervised reference for pairs: the main directions that the two sides differ in."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.training_result import Training
from melbo_app.errors import InputError

LEAST = 1e-6
"""Share of the largest singular value under which a direction is rounding."""


def contrast_pca(ascent: Ascent) -> Training:
    """Principal directions of the differences of pairs (Zou et al. 2023), from the other side's prompts to these.

    Which of a pair comes first is an accident, so the differences count with both signs and their mean is 0: the
    directions are the right singular vectors of the differences themselves. ``strength`` holds the singular values.
    """
    config = ascent.config
    assert ascent.sides is not None, "a method that compares is given two sides"
    here, there = (side.double() for side in ascent.sides)
    if len(here) != len(there):
        raise InputError(
            "against",
            f"{len(there)} prompts cannot be paired with {len(here)}",
            "Write one for each prompt, in their order",
        )
    differences = here - there
    _, sizes, rows = torch.linalg.svd(differences, full_matrices=False)
    found = int((sizes > LEAST * sizes[0]).sum()) if sizes[0] > 0 else 0
    if found < config.vectors:
        several = f"{found} direction{'s' * (found != 1)}"
        raise InputError(
            "vectors", f"these pairs differ in {several}, not {config.vectors}", "Choose fewer, or write more pairs"
        )
    rows, sizes = rows[: config.vectors], sizes[: config.vectors]
    toward = torch.where(rows @ differences.sum(dim=0) < 0, -1.0, 1.0)
    return (yield from ascent.measured(config.radius * toward[:, None] * rows, sizes.tolist()))
