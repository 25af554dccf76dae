"""The Jacobian of Δ at θ = 0, and its leading right singular vectors."""

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
"""Memory of a product relative to a training step's: the backward pass is itself differentiated."""
KEPT = ("basis", "images", "directions", "values", "block")
CONVERGED = 1e-5
"""A singular vector has converged when its residual ‖JᵀJ v − σ² v‖ is at most this share of σ₁²."""


@dataclass(frozen=True)
class SingularVectors:
    """Leading right singular vectors of the Jacobian of Δ at 0 over the tokens in scope, the largest first."""

    directions: Tensor
    """[n, d] float64 on the CPU: orthonormal rows, of either sign."""
    values: list[float]
    """Their singular values."""
    curves: list[list[float]]
    """σ R after each pass: ‖Δ(θ)‖ at norm R, to first order."""
    passes: int
    stopped: bool
    converged: bool
    """Whether every vector has converged."""
    residual: float | None
    """The largest ‖JᵀJ v − σ² v‖ of these vectors as a share of σ₁²; None before the first pass."""


def gram(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None = None) -> Tensor:
    """JᵀJ v for n directions v [n, d]: [n, d], exactly and without forming J.

    J is the Jacobian of Δ at θ = 0, [tokens in scope of all prompts × d, d]. J v is the derivative of u ↦ Jᵀu, which is
    linear, at u = 0. Forward-mode differentiation would be shorter, but grouped matrix products (mixtures of experts)
    and Bloom's activation do not support it.

    Args:
        mask: [P, T] bool, the tokens in scope.

    Raises:
        Stopped: ``stop()`` became true.
    """
    deltas, thetas, pushed = _pushed(piece, mask, directions, stop)
    return torch.autograd.grad(deltas, thetas, pushed)[0]


def pushforward(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None = None) -> Tensor:
    """J v for n directions v [n, d]: [n, tokens in scope of all prompts, d], exactly. Arguments and errors are those of
    ``gram``."""
    return _pushed(piece, mask, directions, stop)[2]


def _pushed(piece: CausalMap, mask: Tensor, directions: Tensor, stop: Stop | None) -> tuple[Tensor, Tensor, Tensor]:
    """Δ over the tokens in scope, the θ = 0 that it depends on, and J v."""
    thetas = torch.zeros_like(directions, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):  # fast attention kernels cannot be differentiated twice
        deltas = piece.deltas(thetas, plain(stop))[:, mask]  # plain: others must not compute with these kernels
    weights = torch.zeros_like(deltas, requires_grad=True)
    (pulled,) = torch.autograd.grad(deltas, thetas, weights, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, weights, directions)
    return deltas, thetas, pushed


def singular_vectors(ascent: Ascent, count: int, passes: int) -> Generator[TrainingProgress, None, SingularVectors]:
    """The ``count`` leading right singular vectors, by block power iteration with Rayleigh–Ritz (Ayyub 2026).

    Each pass applies JᵀJ to a block of directions; the Rayleigh–Ritz step works in the span of all blocks so far (block
    Lanczos) and not of the last one alone, which separates neighbouring singular values better in as many passes. Ends
    early when all vectors have converged. A stop keeps the result of the last complete pass.
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

    def keep() -> None:
        kept = zip(KEPT, (basis, images, directions, values, block), strict=True)
        ascent.keep("jacobian", dict(kept), curves=curves, done=done)

    keep()
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
            keep()
            left = ascent.seconds_left(done, passes)
            stage = f"Jacobian, pass {done} of at most {passes}: residual {residual:.1g}, ends below {least:.1g}"
            progress = TrainingProgress(stage, done, passes, left, curves, count)
            yield progress
    except Stopped:
        stopped = True
    return SingularVectors(directions, values.tolist(), curves, done, stopped, not len(block), residual)


def _images(ascent: Ascent, block: Tensor, now: TrainingProgress) -> Generator[TrainingProgress, None, Tensor]:
    """JᵀJ times a block, some directions at a time; yields ``now`` in between."""
    chunks = block.float().to(ascent.device).split(max(1, ascent.batch // MEMORY))
    parts = yield from ascent.in_turn(chunks, lambda rows: (gram(ascent.piece, ascent.mask, rows, ascent.stop),), now)
    image = torch.cat([images for (images,) in parts]).cpu().double()
    refuse_overflow(image)
    return image


def refuse_overflow(products: Tensor) -> None:
    """Raises InputError where products with the Jacobian are not finite."""
    if not bool(products.isfinite().all()):
        problem = "the derivative of the target with respect to the source overflows"
        raise InputError("layers", problem, "Bring them closer together, or load the model in float32")


def _ritz(basis: Tensor, images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz vectors [count, d] of JᵀJ in the span of ``basis`` [m, d], Ritz values [count], residuals [count, d].

    Args:
        images: [m, d], JᵀJ times each row of the basis.
    """
    small = basis @ images.T
    squares, coordinates = torch.linalg.eigh((small + small.T) / 2)
    squares, coordinates = squares.flip(0)[:count], coordinates.flip(1)[:, :count].T
    directions = coordinates @ basis
    return directions, squares, coordinates @ images - squares[:, None] * directions


def tolerance(dtype: torch.dtype) -> float:
    """The residual at which vectors have converged: at least the rounding error of the model's dtype."""
    return max(CONVERGED, torch.finfo(dtype).eps)


def _share(residuals: Tensor, squares: Tensor) -> float:
    """The largest norm of a residual as a share of the largest eigenvalue."""
    largest = float(squares.max())
    return float(residuals.norm(dim=1).max()) / largest if largest > 0 else 0.0


def _new_directions(residuals: Tensor, basis: Tensor, least: float) -> Tensor:
    """Orthonormal rows that span ``residuals`` [n, d] outside ``basis``, without singular values under ``least``."""
    for _ in range(2):  # once leaves a rounding error as large as the part removed
        residuals = residuals - (residuals @ basis.T) @ basis
    _, sizes, rows = torch.linalg.svd(residuals, full_matrices=False)
    return rows[sizes > least].contiguous()
