"""Power steering: the singular vectors of the Jacobian."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.jacobian import singular_vectors
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped


def jacobian(ascent: Ascent) -> Training:
    """Leading right singular vectors of the Jacobian of Δ at 0 (Ayyub 2026), each with both signs, one after the other.

    ``strength`` holds the singular values. J and its powers are not looked at, but reported at the end.
    """
    config, count = ascent.config, ascent.config.vectors
    found = yield from singular_vectors(ascent, (count + 1) // 2, config.total_steps)
    rows = (config.radius * torch.stack([found.directions, -found.directions], dim=1)).flatten(0, 1)[:count].float()
    curves = [list(curve) for curve in found.curves for _ in range(2)][: len(rows)]
    strength = [value for value in found.values for _ in range(2)][: len(rows)]
    stopped = found.stopped
    now = TrainingProgress("measuring J", found.passes, found.passes, 0.0, curves, len(rows))
    try:
        final = yield from ascent.values_in_turn(rows.to(ascent.device), now)
    except Stopped:
        final, stopped = [curve[-1] for curve in curves], True
    return TrainingResult(rows, final, curves, found.passes, stopped, ascent.seconds, strength)
