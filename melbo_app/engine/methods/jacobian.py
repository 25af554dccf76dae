"""Power steering: the right singular vectors of the Jacobian."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.jacobian import singular_vectors
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped


def jacobian(ascent: Ascent) -> Training:
    """Leading right singular vectors of the Jacobian of Δ at 0 (Ayyub 2026), each with both signs in turn. ``strength``
    has the singular values. J is only reported at the end, and not after a stop, which must be quick."""
    config, count = ascent.config, ascent.config.vectors
    found = yield from singular_vectors(ascent, (count + 1) // 2, config.total_steps)
    rows = (config.radius * torch.stack([found.directions, -found.directions], dim=1)).flatten(0, 1)[:count].float()
    curves = [list(curve) for curve in found.curves for _ in range(2)][: len(rows)]
    strength = [value for value in found.values for _ in range(2)][: len(rows)]
    stopped, note, final = found.stopped, None, None
    if not (stopped or found.converged):
        note = (
            f"Not converged: after {found.passes} passes the residual ‖JᵀJ v − σ² v‖ is {found.residual:.1g} σ₁². More "
            "steps bring the vectors closer to the singular vectors."
        )
    now = TrainingProgress("measuring J", found.passes, found.passes, 0.0, curves, len(rows), note or "")
    yield now
    try:
        if not stopped:
            final = yield from ascent.values_in_turn(rows.to(ascent.device), now)
    except Stopped:
        stopped = True
    return TrainingResult(
        rows, final, curves, found.passes, stopped, ascent.seconds, strength, residual=found.residual, note=note
    )
