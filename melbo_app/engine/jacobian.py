"""The derivative of Δ at θ = 0, and the directions it is largest along."""

import functools
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from melbo_app.engine.ascent import Ascent, CausalMap
from melbo_app.engine.orthogonal import polar, random_rows
from melbo_app.engine.stopping import Stop, plain
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.errors import InputError, Stopped

MEMORY = 4
"""How many times the memory of a training step a product needs: the backward pass is differentiated in its turn."""
KEPT = ("basis", "images", "directions", "values", "block")
CONVERGED = 1e-5
"""A singular vector is exact enough where what is left over of JᵀJ v is this small against the largest one."""


@dataclass(frozen=True)
class SingularVectors:
    """Leading right singular vectors of the Jacobian of Δ at 0 over the tokens in scope, the largest first."""

    directions: Tensor
    """[n, d] float64 on the CPU: orthonormal rows, of either sign."""
    values: list[float]
    """Their singular values."""
    curves: list[list[float]]
    """σ R after each pass: what Δ(θ) of norm R amounts to, to first order."""
    passes: int
    stopped: bool
    converged: bool
    """Whether nothing was left to find."""
    residual: float | None
    """The largest ‖JᵀJ v − σ² v‖ of these vectors as a share of σ₁²: 0 for singular vectors. None before a pass."""


def gram(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None = None) -> Tensor:
    """JᵀJ v for n directions v [n, d]: [n, d], exactly and without forming J.

    J is the Jacobian of Δ at θ = 0, [tokens in scope of all prompts × d, d]. J v comes from differentiating u ↦ Jᵀu,
    which is linear, so u = 0 serves. Forward differentiation would be shorter, but neither grouped matrix products
    (mixtures of experts) nor Bloom's activation have it.

    Args:
        mask: [P, T] bool, the tokens in scope.

    Raises:
        Stopped: ``stop()`` became true.
    """
    deltas, thetas, pushed = _pushed(piece, mask, directions, stop)
    return torch.autograd.grad(deltas, thetas, pushed)[0]


def pushforward(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None = None) -> Tensor:
    """J v for n directions v [n, d]: [n, tokens in scope of all prompts, d], exactly. Takes and raises what ``gram``
    does."""
    return _pushed(piece, mask, directions, stop)[2]


def _pushed(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None) -> tuple[Tensor, Tensor, Tensor]:
    """Δ over the tokens in scope with the θ = 0 that it hangs on, and J v."""
    thetas = torch.zeros_like(directions, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention cannot be differentiated twice
        deltas = piece.deltas(thetas, plain(stop))[:, mask]  # others would compute with these kernels as well
    weights = torch.zeros_like(deltas, requires_grad=True)
    (pulled,) = torch.autograd.grad(deltas, thetas, weights, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, weights, directions)
    return deltas, thetas, pushed


def singular_vectors(ascent: Ascent, count: int, passes: int) -> Generator[TrainingProgress, None, SingularVectors]:
    """The ``count`` leading right singular vectors, by block power iteration with Rayleigh–Ritz (Ayyub 2026).

    Each pass applies JᵀJ to a block of directions; the Rayleigh–Ritz step looks for the vectors in the span of all
    blocks so far and not of the last one alone (block Lanczos), which tells neighbouring singular values apart in as
    many passes of the model. Ends early where everything has converged. A stop keeps what the last whole pass gave.
    """
    basis = images = torch.zeros(0, ascent.width, dtype=torch.float64)
    directions, values = basis, torch.zeros(0, dtype=torch.float64)
    curves: list[list[float]] = [[] for _ in range(count)]
    done, stopped, residual = 0, False, None
    least = tolerance(ascent.piece.baseline.dtype)
    if begun := ascent.resume("jacobian"):
        basis, images, directions, values, block = (begun.tensors[name] for name in KEPT)
        curves, done = begun.facts["curves"], begun.facts["done"]
        if done:
            _, squares, residuals = _ritz(basis, images, count)
            residual = _share(residuals, squares)
    else:
        block = polar(random_rows(count, ascent.width, 1.0, ascent.generator), 1.0).double()
    progress = TrainingProgress(f"Jacobian, pass 1 of at most {passes}", 0, passes, None, curves, 0)
    kept = zip(KEPT, (basis, images, directions, values, block), strict=True)
    ascent.keep("jacobian", dict(kept), curves=curves, done=done)
    try:
        while done < passes and len(block):
            image = yield from _images(ascent, block, progress)
            basis, images = torch.cat([basis, block]), torch.cat([images, image])
            directions, squares, residuals = _ritz(basis, images, count)
            values = squares.clamp(min=0).sqrt()
            for curve, value in zip(curves, values.tolist(), strict=True):
                curve.append(value * ascent.config.radius)
            done += 1
            residual = _share(residuals, squares)
            block = _new_directions(residuals, basis, least * float(squares.max()))
            kept = zip(KEPT, (basis, images, directions, values, block), strict=True)
            ascent.keep("jacobian", dict(kept), curves=curves, done=done)
            left = ascent.seconds_left(done, passes)
            stage = f"Jacobian, pass {done} of at most {passes}: {residual:.1g} is left over, ends below {least:.1g}"
            progress = TrainingProgress(stage, done, passes, left, curves, count)
            yield progress
    except Stopped:
        stopped = True
    return SingularVectors(directions, values.tolist(), curves, done, stopped, not len(block), residual)


def _images(ascent: Ascent, block: Tensor, now: TrainingProgress) -> Generator[TrainingProgress, None, Tensor]:
    """JᵀJ of a block, some directions at a time; yields ``now`` in between."""
    images = []
    for number, chunk in enumerate(block.float().to(ascent.device).split(max(1, ascent.batch // MEMORY))):
        if number:
            yield now
        compute = functools.partial(_image, ascent, chunk)
        images.append(ascent.once(compute)[0].cpu().double())
    image = torch.cat(images)
    if not bool(image.isfinite().all()):
        raise InputError(
            "layers",
            "the derivative between them is too large for the numbers of this model",
            "Bring them closer together, or load the model in float32",
        )
    return image


def _image(ascent: Ascent, chunk: Tensor) -> tuple[Tensor]:
    return (gram(ascent.piece, ascent.mask, chunk, ascent.stop),)


def _ritz(basis: Tensor, images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate eigenvectors [count, d] of JᵀJ in the span of ``basis`` [m, d], the eigenvalues, and what is left.

    Args:
        images: [m, d], JᵀJ of each row of the basis.
    """
    small = basis @ images.T
    squares, coordinates = torch.linalg.eigh((small + small.T) / 2)
    squares, coordinates = squares.flip(0)[:count], coordinates.flip(1)[:, :count].T
    directions = coordinates @ basis
    return directions, squares, coordinates @ images - squares[:, None] * directions


def tolerance(dtype: torch.dtype) -> float:
    """The residual that is small enough: no pass gets under the rounding of a model's numbers."""
    return max(CONVERGED, torch.finfo(dtype).eps)


def _share(residuals: Tensor, squares: Tensor) -> float:
    """The norm of the largest residual as a share of the largest eigenvalue."""
    largest = float(squares.max())
    return float(residuals.norm(dim=1).max()) / largest if largest > 0 else 0.0


def _new_directions(residuals: Tensor, basis: Tensor, least: float) -> Tensor:
    """Orthonormal rows that span what ``residuals`` [n, d] have outside ``basis``, without parts under ``least``."""
    for _ in range(2):  # once leaves a rounding error of the size of what is removed
        residuals = residuals - (residuals @ basis.T) @ basis
    _, sizes, rows = torch.linalg.svd(residuals, full_matrices=False)
    return rows[sizes > least].contiguous()
