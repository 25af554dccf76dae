"""A supervised reference: the principal directions of the differences between pairs of prompts."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.training_result import Training
from melbo_app.errors import InputError

LEAST = 1e-6
"""Share of the largest singular value below which a direction is rounding error."""


def contrast_pca(ascent: Ascent) -> Training:
    """Principal directions of the differences within pairs (Zou et al. 2023), from the other side to the prompts.

    The order within a pair is arbitrary, so the differences count with both signs and have mean 0: the directions are
    the right singular vectors of the differences themselves. ``strength`` has the singular values.
    """
    config = ascent.config
    assert ascent.sides is not None, "a contrastive method has two sides"
    here, there = (side.double() for side in ascent.sides)
    if len(here) != len(there):
        problem = f"{len(there)} prompts cannot be paired with {len(here)}"
        raise InputError("against", problem, "Write one for each prompt, in the same order")
    differences = here - there
    _, sizes, rows = torch.linalg.svd(differences, full_matrices=False)
    found = int((sizes > LEAST * sizes[0]).sum()) if sizes[0] > 0 else 0
    if found < config.vectors:
        problem = f"these pairs differ in {found} direction{'s' * (found != 1)}, not {config.vectors}"
        raise InputError("vectors", problem, "Choose fewer, or add more pairs")
    rows, sizes = rows[: config.vectors], sizes[: config.vectors]
    toward = torch.where(rows @ differences.sum(dim=0) < 0, -1.0, 1.0)
    return (yield from ascent.measured(config.radius * toward[:, None] * rows, sizes.tolist()))
