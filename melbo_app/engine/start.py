"""The start of iterative training methods."""

from collections.abc import Generator

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.jacobian import singular_vectors
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.training_config import DEFAULT_STEPS, TrainingProgress
from melbo_app.errors import Stopped


def starting_rows(ascent: Ascent, count: int) -> Generator[TrainingProgress, None, Tensor]:
    """[count, d] float32 rows of norm R on the CPU: random, or the Jacobian's leading right singular vectors.

    Each singular vector gets the sign with the larger J. Rows beyond the d singular vectors are random. Raises Stopped
    after a stop before the start is complete.
    """
    radius, width = ascent.config.radius, ascent.width
    if ascent.config.start == "random":
        return random_rows(count, width, radius, ascent.generator)
    found = yield from singular_vectors(ascent, min(count, width), DEFAULT_STEPS["jacobian"])
    if found.stopped:
        raise Stopped
    rows = (radius * found.directions).float()
    now = TrainingProgress("choosing signs", found.passes, found.passes, None, found.curves, 0)
    values = yield from ascent.values_in_turn(torch.cat([rows, -rows]).to(ascent.device), now)
    ahead, behind = torch.tensor(values).chunk(2)
    rows = torch.where((behind > ahead)[:, None], -rows, rows)
    return torch.cat([rows, random_rows(count - len(rows), width, radius, ascent.generator)])
