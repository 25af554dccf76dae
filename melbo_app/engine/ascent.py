"""What every method of training needs: J and its gradients for a set of vectors, in batches, and the time left."""

import time
from collections.abc import Generator, Iterable
from typing import Protocol

import torch
from torch import Tensor

from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.engine.training_result import Stop, Training, TrainingResult
from melbo_app.errors import InputError, Stopped


class CausalMap(Protocol):
    """What vectors are trained on: anything that says what they change. A ``ModelSlice`` is one."""

    @property
    def width(self) -> int:
        """d, the length of a vector."""

    @property
    def device(self) -> torch.device:
        """Where vectors belong."""

    def mask(self, scope: TokenScope) -> Tensor:
        """The positions that count: [P, T] bool."""

    def deltas(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
        """Δ(θ) for V vectors [V, d]: [V, P, T, d]. Differentiable in ``thetas``."""


class Ascent:
    """J(θ) and its gradients on one ``CausalMap``.

    Attributes:
        mask: [P, T] bool, the tokens in scope.
        batch: vectors that fit into one forward and backward pass.
        device: where vectors and gradients are.
        generator: the source of all random numbers of this training, on the CPU.
        sides: for methods that compare: mean residuals [P, d] and [Q, d] at the source of the prompts, and of those of
            the other side.
    """

    def __init__(
        self,
        piece: CausalMap,
        config: TrainingConfig,
        batch: int,
        stop: Stop = lambda: False,
        sides: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.piece, self.config, self.batch, self.stop, self.sides = piece, config, batch, stop, sides
        self.mask = piece.mask(TokenScope.parse(config.scope))
        self.device, self.width = piece.device, piece.width
        self.objective = PowerObjective(config.p, config.p if config.q is None else config.q)
        self.generator = torch.Generator().manual_seed(config.seed)
        self._start = time.monotonic()

    def values_and_gradients(
        self, thetas: Tensor, now: TrainingProgress
    ) -> Generator[TrainingProgress, None, tuple[Tensor, Tensor]]:
        """J [V] and its gradients [V, d], a batch of vectors at a time: J of one vector does not depend on the others.

        Yields ``now`` between two batches, so that others may compute there.
        """
        values, gradients = [], []
        for number, chunk in enumerate(thetas.split(self.batch)):
            if number:
                yield now
            leaf = chunk.detach().requires_grad_()
            value = self.objective(self.piece.deltas(leaf, self.stop), self.mask)
            gradients.append(torch.autograd.grad(value.sum(), leaf)[0])
            values.append(value.detach())
            self.refuse_unusable(values[-1], gradients[-1])
        return torch.cat(values), torch.cat(gradients)

    def refuse_unusable(self, values: Tensor, gradients: Tensor) -> None:
        """Raises InputError where J or its gradients left the range of the numbers."""
        if not bool(values.isfinite().all() and gradients.isfinite().all()):
            p, q = self.objective.p, self.objective.q
            raise InputError(
                "p, q or R",
                f"with p = {p:g} and q = {q:g} the objective is too large or too small for the numbers of this "
                f"machine ({values.max():.3g})",
                "Choose p = 2, q = p, and an R around 0.1 × the median norm",
            )

    def values(self, thetas: Tensor) -> list[float]:
        """J of each vector, without gradients."""
        with torch.no_grad():
            chunks: Iterable[Tensor] = thetas.split(self.batch)
            return [value for chunk in chunks for value in self.objective(self.piece.deltas(chunk), self.mask).tolist()]

    def values_in_turn(self, thetas: Tensor, now: TrainingProgress) -> Generator[TrainingProgress, None, list[float]]:
        """The same, yielding ``now`` between two batches.

        Raises:
            Stopped: a stop came in the middle.
        """
        values: list[float] = []
        for chunk in thetas.split(self.batch):
            if values:
                yield now
            with torch.no_grad():
                values += self.objective(self.piece.deltas(chunk, self.stop), self.mask).tolist()
        return values

    def final(self, thetas: Tensor, curves: list[list[float]], stopped: bool) -> list[float]:
        """J of each vector at the end; after a stop, which must be quick, the last that is known."""
        return [curve[-1] for curve in curves] if stopped else self.values(thetas)

    def measured(self, rows: Tensor, strength: list[float] | None = None) -> Training:
        """The result of a method that takes a single step and has found ``rows`` [V, d] of norm R: only J is lacking.

        A stop keeps those that were measured before it.
        """
        total, values, stopped = len(rows), list[float](), False
        try:
            for chunk in rows.to(self.device).split(self.batch):
                with torch.no_grad():
                    found = self.objective(self.piece.deltas(chunk, self.stop), self.mask)
                self.refuse_unusable(found, found)
                values += found.tolist()
                done = len(values)
                curves = [[value] for value in values]
                yield TrainingProgress("measuring J", done, total, self.seconds_left(done, total), curves, done)
        except Stopped:
            stopped = True
        kept = len(values)
        strength = None if strength is None else strength[:kept]
        curves = [[value] for value in values]
        return TrainingResult(rows[:kept].float().cpu(), values, curves, 1, stopped, self.seconds, strength)

    @property
    def seconds(self) -> float:
        """Since the training began."""
        return time.monotonic() - self._start

    def seconds_left(self, done: int, total: int) -> float | None:
        """Time left, from the pace so far."""
        return None if done == 0 else self.seconds / done * (total - done)
