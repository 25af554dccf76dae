"""A supervised reference: the difference between the two sides' mean residuals."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.training_result import Training
from melbo_app.errors import InputError


def difference_of_means(ascent: Ascent) -> Training:
    """One vector: the mean residual of the prompts minus that of the other side's, scaled to norm R. ``strength`` is
    the norm of the difference (Marks & Tegmark 2023; Arditi et al. 2024)."""
    assert ascent.sides is not None, "a contrastive method has two sides"
    here, there = (side.double().mean(dim=0) for side in ascent.sides)
    difference = (here - there)[None]
    size = float(difference.norm())
    if size == 0:
        problem = "the two sides are the same at the tokens in scope"
        raise InputError("against", problem, "Choose other prompts or another scope")
    row = ascent.config.radius * torch.nn.functional.normalize(difference, dim=1)
    return (yield from ascent.measured(row, [size]))
