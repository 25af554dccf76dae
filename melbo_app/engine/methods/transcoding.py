"""Deep causal transcoding with exponentials: the effect of steering as a sum over a few input and output directions."""

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.orthogonal import polar, ranked
from melbo_app.engine.start import starting_rows
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.errors import Stopped

LEAST_COSINE = 0.8
"""Minimum cosine between a vector before and after the last step, which does not orthogonalise: it keeps vectors
distinct."""


def transcoding(
    ascent: Ascent, shaped: Callable[[Tensor], Tensor] = lambda rows: rows, *, signed: bool = True
) -> Training:
    """Orthogonalised gradient iteration for an exponential transcoder (Mack 2024).

    The model is Δ̄(θ) ≈ Σ_l α_l (exp(⟨v_l, θ⟩ / R) − 1) u_l, with Δ̄ the mean of Δ over prompts and tokens in scope. A
    step sets u to the direction of Δ̄(R v) and v to the gradient of ⟨u, Δ̄⟩ at R v, then orthogonalises the v. The last
    step does not, so that overlapping directions are found too. Vectors are ordered by α (``strength``), with the u as
    ``output_directions``.

    Args:
        shaped: maps rows of norm R to the nearest that are allowed, of norm R as well.
        signed: whether v and −v have different effects.
    """
    config, radius, total = ascent.config, ascent.config.radius, ascent.config.total_steps
    curves: list[list[float]] = [[] for _ in range(config.vectors)]
    thetas = means = torch.zeros(0, ascent.width, device=ascent.device)
    first, done, stopped = 0, 0, False
    progress = TrainingProgress(f"step 1 of {total}", 0, total, None, curves, 0)
    try:
        if begun := ascent.resume("transcoding"):
            rows, thetas, means = (begun.tensors[name].to(ascent.device) for name in ("rows", "thetas", "means"))
            curves, first = begun.facts["curves"], begun.facts["done"]
        else:
            rows = shaped(polar((yield from starting_rows(ascent, config.vectors)), radius)).to(ascent.device)
        ascent.keep("transcoding", {"rows": rows, "thetas": thetas, "means": means}, curves=curves, done=first)
        for done in range(first, total):
            if signed and done in (0, total - 1):  # an exponential depends on the sign
                rows = yield from _stronger_sign(ascent, rows, progress)
            moved, values, gradients = yield from _effects(ascent, rows, progress, gradients=True)
            thetas, means = rows, moved  # the result after a stop
            for curve, value in zip(curves, values.tolist(), strict=True):
                curve.append(value)
            unit = torch.nn.functional.normalize(gradients, dim=1)
            if done < total - 1:
                rows = shaped(ranked(unit, moved.norm(dim=1), radius))
            else:
                near = (unit * rows).sum(dim=1) > LEAST_COSINE * radius
                rows = shaped(torch.where(near[:, None], radius * unit, rows))
            tensors = {"rows": rows, "thetas": thetas, "means": means}
            ascent.keep("transcoding", tensors, curves=curves, done=done + 1)
            left = ascent.seconds_left(done + 1, total)
            progress = TrainingProgress(f"step {done + 1} of {total}", done + 1, total, left, curves, config.vectors)
            yield progress
        done = total
        means, values, _ = yield from _effects(ascent, rows, progress, gradients=False)
        thetas, final = rows, values.tolist()
    except Stopped:
        stopped = True
        curves = curves[: len(thetas)]
        final = ascent.final(thetas, curves, stopped)
    outputs = torch.nn.functional.normalize(means, dim=1)
    alphas = _alphas(thetas / radius, outputs, means)
    order = alphas.argsort(descending=True)
    places = order.tolist()
    return TrainingResult(
        vectors=thetas.cpu()[order].float(),
        objective=[final[place] for place in places],
        curves=[curves[place] for place in places],
        steps=done,
        stopped=stopped,
        seconds=ascent.seconds,
        strength=alphas[order].tolist(),
        output_directions=outputs.cpu()[order].float(),
    )


def _effects(
    ascent: Ascent, thetas: Tensor, now: TrainingProgress, *, gradients: bool
) -> Generator[TrainingProgress, None, tuple[Tensor, Tensor, Tensor]]:
    """Δ̄ [V, d], J [V], and the gradients [V, d] of ‖Δ̄‖, which are those of ⟨u, Δ̄⟩ at u = Δ̄ / ‖Δ̄‖, or else zeros."""
    weights = ascent.mask / ascent.mask.sum(dim=1, keepdim=True) / len(ascent.mask)

    def effects(chunk: Tensor) -> tuple[Tensor, ...]:
        leaf = chunk.detach().requires_grad_(gradients)
        deltas = ascent.piece.deltas(leaf, ascent.stop)
        mean = torch.einsum("vptd,pt->vd", deltas, weights.to(deltas))
        slope = torch.autograd.grad(mean.norm(dim=1).sum(), leaf)[0] if gradients else torch.zeros_like(chunk)
        value = ascent.objective(deltas.detach(), ascent.mask)
        ascent.refuse_unusable(value, slope)
        return tuple(found.to(ascent.device) for found in (mean.detach(), value, slope))

    parts = yield from ascent.in_turn(thetas.split(ascent.batch), effects, now)
    means, values, slopes = (torch.cat(part) for part in zip(*parts, strict=True))
    return means, values, slopes


def _stronger_sign(ascent: Ascent, thetas: Tensor, now: TrainingProgress) -> Generator[TrainingProgress, None, Tensor]:
    """Each vector or its negative, whichever moves the target layer more."""
    means, _, _ = yield from _effects(ascent, torch.cat([thetas, -thetas]), now, gradients=False)
    ahead, behind = means.norm(dim=1).chunk(2)
    return torch.where((behind > ahead)[:, None], -thetas, thetas)


def _alphas(inputs: Tensor, outputs: Tensor, means: Tensor) -> Tensor:
    """α [V], for which the model matches the measured Δ̄ at each R v_l along u_l. On the CPU, in float64."""
    inputs, outputs, means = (rows.detach().cpu().double() for rows in (inputs, outputs, means))
    kernel = (outputs @ outputs.T) * torch.expm1(inputs @ inputs.T)
    return torch.linalg.lstsq(kernel, (outputs * means).sum(dim=1), driver="gelsd").solution
