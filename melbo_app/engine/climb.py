"""Trains all vectors at once by steps along the normalised gradient, until they have converged."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent, Coupling
from melbo_app.engine.orthogonal import tangent
from melbo_app.engine.start import starting_rows
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped

FIRST_ANGLE, LAST_ANGLE, SHRINK = 0.8, 0.02, 0.9
"""Radians of the first step, radians of the smallest one, and the factor from each step to the next."""
LOOK_BACK, LEAST_RISE, SMALL_ANGLE = 4, 0.01, 0.1
"""Vectors have converged when LOOK_BACK steps of at most SMALL_ANGLE radians raised the mean of (q/p) log J by less
than LEAST_RISE (the changes by one percent); longer steps may have overshot."""
FEWEST = 1 + math.ceil(math.log(FIRST_ANGLE / SMALL_ANGLE) / math.log(1 / SHRINK))
"""Steps until the angle is at most SMALL_ANGLE."""


def climb(
    ascent: Ascent,
    retract: Callable[[Tensor], Tensor],
    coupling: Coupling | None = None,
    penalty: Callable[[Tensor], Tensor] | None = None,
) -> Training:
    """Maximise Σ (q/p) log J + ``coupling`` − ``penalty`` over V vectors of norm R.

    A step is an angle, so no learning rate must be fitted to model or R. It shrinks geometrically; the climb ends when
    the sum no longer rises, or after the maximum number of steps.

    Args:
        retract: takes any rows [V, d] and returns the nearest allowed ones.
        coupling: takes Δ of all vectors at the N tokens in scope, [V, N, d].
        penalty: takes all vectors [V, d].
    """
    config, radius, most = ascent.config, ascent.config.radius, ascent.config.total_steps
    thetas = torch.zeros(0, ascent.width)
    curves: list[list[float]] = [[] for _ in range(config.vectors)]
    heights: list[float] = []
    stopped, fraction = False, 0.0
    progress = TrainingProgress("step 1", 0, most, None, curves, 0)
    try:
        if begun := ascent.resume("climb"):
            thetas = begun.tensors["thetas"].to(ascent.device)
            curves, heights, fraction = begun.facts["curves"], begun.facts["heights"], begun.facts["fraction"]
        else:
            thetas = retract((yield from starting_rows(ascent, config.vectors)).to(ascent.device))
        ascent.keep("climb", {"thetas": thetas}, curves=curves, heights=heights, fraction=fraction)
        while len(heights) < most and not arrived(heights):
            slope = yield from ascent.slope(thetas, progress, coupling)
            height, gradients = slope.height, slope.gradients
            if penalty is not None:
                leaf = thetas.detach().requires_grad_()
                cost = penalty(leaf)
                gradients = gradients - torch.autograd.grad(cost, leaf)[0]
                height -= float(cost.detach())
            for curve, value in zip(curves, slope.values.tolist(), strict=True):
                curve.append(value)
            direction = torch.nn.functional.normalize(tangent(gradients, thetas), dim=1)
            thetas = retract(thetas + math.tan(angle_of(len(heights))) * radius * direction)
            heights.append(height / config.vectors)
            done = len(heights)
            left = steps_left(heights, most)
            # the bar never moves back: where more steps are left than expected, it slows down
            total = min(done + left, math.floor(done / fraction)) if fraction else done + left
            total = max(total, done + min(left, 1))
            fraction = done / total
            ascent.keep("climb", {"thetas": thetas}, curves=curves, heights=heights, fraction=fraction)
            progress = TrainingProgress(
                _stage(heights, most), done, total, ascent.seconds_left(done, total), curves, config.vectors
            )
            yield progress
    except Stopped:
        stopped = True
    done = len(heights)
    kept = config.vectors if done else 0
    thetas, curves = thetas[:kept], curves[:kept]
    final = ascent.final(thetas, curves, stopped)
    return TrainingResult(thetas.float().cpu(), final, curves, done, stopped, ascent.seconds)


def angle_of(step: int) -> float:
    """Radians by which step ``step``, counted from 0, turns a vector."""
    return max(LAST_ANGLE, FIRST_ANGLE * SHRINK**step)


def rise(heights: list[float]) -> float | None:
    """By how much the last LOOK_BACK steps raised the mean; None before that many."""
    return heights[-1] - heights[-1 - LOOK_BACK] if len(heights) > LOOK_BACK else None


def arrived(heights: list[float]) -> bool:
    """Whether the vectors have converged."""
    last = rise(heights)
    return last is not None and last < LEAST_RISE and angle_of(len(heights) - 1) <= SMALL_ANGLE


def steps_left(heights: list[float], most: int) -> int:
    """Steps until the vectors have converged, if the rise shrinks as the steps do."""
    if arrived(heights):
        return 0
    last = rise(heights)
    waiting = FEWEST - len(heights)
    shrinking = 0.0 if last is None or last <= LEAST_RISE else math.log(last / LEAST_RISE) / math.log(1 / SHRINK)
    return min(max(1, waiting, math.ceil(shrinking)), most - len(heights))


def _stage(heights: list[float], most: int) -> str:
    last = rise(heights)
    if last is None:
        return f"step {len(heights)} of at most {most}"
    percent = f"{100 * math.expm1(last):.1f} %"
    return f"step {len(heights)}: objective rose by {percent} in {LOOK_BACK} steps, ends below {100 * LEAST_RISE:g} %"
