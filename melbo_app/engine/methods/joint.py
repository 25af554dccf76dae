"""All vectors at once, orthogonal at every step."""

import math

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.orthogonal import polar, tangent
from melbo_app.engine.start import starting_rows
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped

FIRST_ANGLE, LAST_ANGLE = 0.8, 0.1
"""Radians that a step turns a vector by, at the beginning and at the end."""


def joint(ascent: Ascent) -> Training:
    """Steps along the normalised gradient, then the nearest orthogonal set of norm R.

    The step is an angle, from FIRST_ANGLE down to LAST_ANGLE, so it needs no learning rate fitted to model or R.
    """
    config, radius, total = ascent.config, ascent.config.radius, ascent.config.total_steps
    thetas = torch.zeros(0, ascent.width)
    curves: list[list[float]] = [[] for _ in range(config.vectors)]
    done, stopped = 0, False
    progress = TrainingProgress(f"step 1 of {total}", 0, total, None, curves, 0)
    try:
        thetas = polar((yield from starting_rows(ascent, config.vectors)), radius).to(ascent.device)
        for done in range(total):
            values, gradients = yield from ascent.values_and_gradients(thetas, progress)
            for curve, value in zip(curves, values.tolist(), strict=True):
                curve.append(value)
            direction = torch.nn.functional.normalize(tangent(gradients, thetas), dim=1)
            angle = FIRST_ANGLE * (LAST_ANGLE / FIRST_ANGLE) ** (done / max(1, total - 1))
            thetas = polar(thetas + math.tan(angle) * radius * direction, radius)
            left = ascent.seconds_left(done + 1, total)
            progress = TrainingProgress(f"step {done + 1} of {total}", done + 1, total, left, curves, config.vectors)
            yield progress
        done = total
    except Stopped:
        stopped = True
    kept = config.vectors if done else 0
    thetas, curves = thetas[:kept], curves[:kept]
    final = ascent.final(thetas, curves, stopped)
    return TrainingResult(thetas.float().cpu(), final, curves, done, stopped, ascent.seconds)
