"""Training: finding vectors of norm R that change the target layer as much as possible."""

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from melbo_app.engine.memory import budget, bytes_per_vector, written
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.orthogonal import polar, precise, random_rows, tangent, without
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import TOKENS_AT_ONCE, ModelSlice
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, Stopped


@dataclass(frozen=True)
class TrainingResult:
    """What was found: V vectors, fewer than asked for where the training was stopped."""

    vectors: Tensor
    """[V, d] float32 on the CPU; every row has norm R, rows are orthogonal."""
    objective: list[float]
    """J of each vector at the end; where the training was stopped, before its last step."""
    curves: list[list[float]]
    """J of each vector before each step."""
    steps: int
    stopped: bool
    seconds: float


FIRST_ANGLE, LAST_ANGLE = 0.8, 0.1
"""Radians that a joint step turns a vector by, at the beginning and at the end."""

Training = Generator[TrainingProgress, None, TrainingResult]
Stop = Callable[[], bool]


def train(
    piece: ModelSlice, config: TrainingConfig, stop: Stop | None = None, memory_gb: float | None = None
) -> Training:
    """Train vectors, yielding after every step; the result is what the generator returns.

    When ``stop`` becomes true (it is asked before each block, forwards and backwards) the finished vectors are
    returned: those whose steps are done (sequential), or all of them as they are (joint).

    Raises:
        InputError: more vectors than dimensions, a scope without a token, or more memory needed than there is.
    """
    width = piece.lm.hidden_size
    if config.vectors > width:
        raise InputError(
            "vectors", f"{config.vectors} cannot be at right angles in {width} dimensions", f"Choose {width} or fewer"
        )
    piece.mask(TokenScope.parse(config.scope))  # refuses an empty scope now, not at the first step
    batch = vectors_at_once(piece, memory_gb)
    if piece.lm.device.type == "cpu":
        batch = min(batch, max(1, TOKENS_AT_ONCE // piece.encoded.input_ids.numel()))
    method = _joint if config.method == "joint" else _sequential
    return method(piece, config, stop or (lambda: False), batch)


def vectors_at_once(piece: ModelSlice, memory_gb: float | None = None) -> int:
    """How many vectors fit into one forward and backward pass.

    Raises:
        InputError: not even one fits; the message has the numbers.
    """
    need = bytes_per_vector(piece.lm, piece.encoded, piece.source, piece.target)
    have = budget(piece.lm, memory_gb)
    if need > have:
        prompts, tokens = piece.encoded.input_ids.shape
        raise InputError(
            "memory",
            f"{prompts} prompts of up to {tokens} tokens need {written(need)} for each vector and "
            f"{written(have)} may be used",
            "Train on fewer or shorter prompts, or bring the layers closer together",
        )
    return have // max(1, need)


class _Clock:
    """Time left, from the pace so far."""

    def __init__(self, total: int) -> None:
        self.start, self.total = time.monotonic(), total

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def left(self, done: int) -> float | None:
        return None if done == 0 else self.seconds / done * (self.total - done)


def _objective(config: TrainingConfig) -> PowerObjective:
    return PowerObjective(config.p, config.p if config.q is None else config.q)


def values_and_gradients(
    piece: ModelSlice,
    thetas: Tensor,
    mask: Tensor,
    objective: PowerObjective,
    batch: int,
    stop: Stop,
    now: TrainingProgress,
) -> Generator[TrainingProgress, None, tuple[Tensor, Tensor]]:
    """J [V] and its gradients [V, d], ``batch`` vectors at a time: J of one vector does not depend on the others.

    Yields ``now`` between two batches, so that others may compute there.
    """
    values, gradients = [], []
    for number, chunk in enumerate(thetas.split(batch)):
        if number:
            yield now
        leaf = chunk.detach().requires_grad_()
        value = objective(piece.deltas(leaf, stop), mask)
        gradients.append(torch.autograd.grad(value.sum(), leaf)[0])
        values.append(value.detach())
        if not bool(values[-1].isfinite().all() and gradients[-1].isfinite().all()):
            raise InputError(
                "p, q or R",
                f"with p = {objective.p:g} and q = {objective.q:g} the objective is too large or too small for the "
                f"numbers of this machine ({value.max():.3g})",
                "Choose p = 2, q = p, and an R around 0.1 × the median norm",
            )
    return torch.cat(values), torch.cat(gradients)


def _final(
    piece: ModelSlice,
    thetas: Tensor,
    mask: Tensor,
    config: TrainingConfig,
    batch: int,
    curves: list[list[float]],
    stopped: bool,
) -> list[float]:
    """J of each vector at the end; after a stop, which must be quick, the last that is known."""
    if stopped:
        return [curve[-1] for curve in curves]
    objective = _objective(config)
    with torch.no_grad():
        return [value for chunk in thetas.split(batch) for value in objective(piece.deltas(chunk), mask).tolist()]


def _joint(piece: ModelSlice, config: TrainingConfig, stop: Stop, batch: int) -> Training:
    """All vectors at once: steps along the normalised gradient, then the nearest orthogonal set of norm R.

    The step is an angle, from FIRST_ANGLE down to LAST_ANGLE, so it needs no learning rate fitted to model or R.
    """
    device, mask = piece.source_hidden.device, piece.mask(TokenScope.parse(config.scope))
    generator = torch.Generator().manual_seed(config.seed)
    width, total = piece.lm.hidden_size, config.total_steps
    thetas = polar(random_rows(config.vectors, width, config.radius, generator), config.radius).to(device)
    curves: list[list[float]] = [[] for _ in range(config.vectors)]
    clock, done, stopped = _Clock(total), 0, False
    progress = TrainingProgress(f"step 1 of {total}", 0, total, None, curves, 0)
    try:
        for done in range(total):
            values, gradients = yield from values_and_gradients(
                piece, thetas, mask, _objective(config), batch, stop, progress
            )
            for curve, value in zip(curves, values.tolist(), strict=True):
                curve.append(value)
            direction = torch.nn.functional.normalize(tangent(gradients, thetas), dim=1)
            angle = FIRST_ANGLE * (LAST_ANGLE / FIRST_ANGLE) ** (done / max(1, total - 1))
            thetas = polar(thetas + math.tan(angle) * config.radius * direction, config.radius)
            progress = TrainingProgress(
                f"step {done + 1} of {total}", done + 1, total, clock.left(done + 1), curves, config.vectors
            )
            yield progress
        done = total
    except Stopped:
        stopped = True
    kept = config.vectors if done else 0
    thetas, curves = thetas[:kept], curves[:kept]
    final = _final(piece, thetas, mask, config, batch, curves, stopped)
    return TrainingResult(thetas.float().cpu(), final, curves, done, stopped, clock.seconds)


def _sequential(piece: ModelSlice, config: TrainingConfig, stop: Stop, batch: int) -> Training:
    """The published method: one vector after the other, each orthogonal to those before it.

    Learning rate, moments and projections are those of the published code (AdamW with amsgrad, rate 0.001 whatever
    R is, 300 steps).
    """
    device, mask = piece.source_hidden.device, piece.mask(TokenScope.parse(config.scope))
    generator = torch.Generator().manual_seed(config.seed)
    width, steps, radius = piece.lm.hidden_size, config.total_steps, config.radius
    found = torch.zeros(0, width, device=device)
    curves: list[list[float]] = []
    clock, stopped = _Clock(config.vectors * steps), False
    done = 0
    progress = TrainingProgress(f"vector 1 of {config.vectors}", 0, clock.total, None, curves, 0)
    try:
        for number in range(1, config.vectors + 1):
            start = without(random_rows(1, width, radius, generator).to(device), found, radius)
            theta = torch.nn.Parameter(radius * torch.nn.functional.normalize(start, dim=1))
            optimizer = torch.optim.AdamW([theta], lr=0.001, betas=(0.9, 0.98), weight_decay=0.0, amsgrad=True)
            curves.append([])
            for _ in range(steps):
                values, gradients = yield from values_and_gradients(
                    piece, theta, mask, _objective(config), batch, stop, progress
                )
                curves[-1].append(float(values))
                with torch.no_grad():
                    theta.grad = -tangent(without(gradients, found, radius), theta)
                    optimizer.step()
                    theta.copy_(radius * torch.nn.functional.normalize(without(theta, found, radius), dim=1))
                done += 1
                finished = number - 1 + (done == number * steps)
                progress = TrainingProgress(
                    f"vector {number} of {config.vectors}", done, clock.total, clock.left(done), curves, finished
                )
                yield progress
            # once more in float64: what float32 leaves over adds up with the number of vectors
            exact = without(precise(theta.detach()), precise(found), radius)
            found = torch.cat([found, (radius * torch.nn.functional.normalize(exact, dim=1)).to(found)])
    except Stopped:
        stopped = True
    curves = curves[: len(found)]
    final = _final(piece, found, mask, config, batch, curves, stopped)
    return TrainingResult(found.float().cpu(), final, curves, steps, stopped, clock.seconds)
