"""Shared by all training methods: J and its gradients for a set of vectors, in batches, and the time left."""

import functools
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.agreement import contrastive_loss, log_numerator, prompt_changes
from melbo_app.engine.causal_map import CausalMap
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.engine.training_result import Training, TrainingResult
from melbo_app.engine.training_state import Keeper, TrainingState
from melbo_app.errors import InputError, Stopped

Coupling = Callable[[Tensor], Tensor]
"""Takes Δ of V vectors at the N tokens in scope, [V, N, d], and returns a scalar to maximise."""


@dataclass(frozen=True)
class Slope:
    """Value and gradient at V vectors of Σ (q/p) log J plus the agreement and coupling terms.

    J is homogeneous of degree p/q in Δ, so (q/p) log J rises by log 2 when all changes double, whatever the model, R, p
    and q are: agreement and penalties weigh the same everywhere.
    """

    values: Tensor
    """The published J [V]."""
    counted: Tensor
    """J with saturation, as it is climbed [V]."""
    gradients: Tensor
    """Of the sum: [V, d]."""
    height: float
    """The sum."""


class Ascent:
    """J(θ) and its gradients on one ``CausalMap``.

    Attributes:
        mask: [P, T] bool, the tokens in scope.
        batch: vectors that fit into one forward and backward pass.
        device: the device of vectors and gradients.
        objective: the published J, which is reported.
        counted: J as it is climbed: with saturation, large changes count less.
        generator: the source of all random numbers of this training, on the CPU.
        sides: for contrastive methods: mean residuals at the source, [P, d] of the prompts and [Q, d] of the other
            side's.

    An iterative method saves its state between two steps (``keep``) and asks for a saved one at the start
    (``resume``). The results of the step's batches are saved with it, so that training resumes in the middle of a step.
    """

    def __init__(
        self,
        piece: CausalMap,
        config: TrainingConfig,
        batch: int,
        stop: Stop = lambda: False,
        sides: tuple[Tensor, Tensor] | None = None,
        keeper: Keeper | None = None,
        begun: TrainingState | None = None,
    ) -> None:
        self.piece, self.config, self.batch, self.stop, self.sides = piece, config, batch, stop, sides
        self._keeper, self._begun = keeper, begun
        self._stage = ""
        self._tensors: dict[str, Tensor] = {}
        self._facts: dict[str, Any] = {}
        self._parts: list[tuple[Tensor, ...]] = []
        self._used = 0  # how many of them this step has used
        self.mask = piece.mask(TokenScope.parse(config.scope))
        self.device, self.width = piece.device, piece.width
        peaks = None
        if config.saturation_share:
            peaks = (config.saturation_share * piece.baseline.float().norm(dim=-1)).clamp(min=1e-18)  # 0 at padding
        q = config.p if config.q is None else config.q
        self._degree = config.p / q
        self.objective = PowerObjective(config.p, q)
        self.counted = PowerObjective(config.p, q, peaks)
        self.generator = torch.Generator().manual_seed(config.seed)
        self._own, self._between = self._agreement_terms()
        self._start = time.monotonic() - (begun.seconds if begun else 0.0)

    def resume(self, stage: str) -> TrainingState | None:
        """The saved state of ``stage``, if the training resumes there; tensors are on the CPU."""
        begun = self._begun
        if begun is None or begun.stage != stage:
            return None
        self._begun = None
        self.generator.set_state(begun.generator)
        if begun.batch == self.batch:
            self._parts = [tuple(tensor.to(self.device) for tensor in part) for part in begun.parts]
        return begun

    def keep(self, stage: str, tensors: dict[str, Tensor], **facts: Any) -> None:
        """Save the state of ``stage`` between two steps. It must not change while batches are computed, nor where the
        training yields."""
        del self._parts[: self._used]
        self._used = 0
        if self._keeper is not None:
            self._stage, self._tensors, self._facts = stage, tensors, facts
            self._keeper(self._state)

    def _state(self) -> TrainingState:
        generator, parts = self.generator.get_state(), list(self._parts)
        return TrainingState(self._stage, self._tensors, self._facts, parts, self.batch, generator, self.seconds)

    def once(self, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The result of ``compute`` for the next batch of this step, or the saved one."""
        if self._used == len(self._parts):
            self._parts.append(compute())
            if self._keeper is not None and self._stage:
                self._keeper(self._state)
        self._used += 1
        return self._parts[self._used - 1]

    def in_turn(
        self, chunks: Sequence[Tensor], compute: Callable[[Tensor], tuple[Tensor, ...]], now: TrainingProgress
    ) -> Generator[TrainingProgress, None, list[tuple[Tensor, ...]]]:
        """The result of ``compute`` for each of ``chunks``; yields ``now`` between them, where others may compute."""
        parts = []
        for number, chunk in enumerate(chunks):
            if number:
                yield now
            parts.append(self.once(functools.partial(compute, chunk)))
        return parts

    def slope(
        self, thetas: Tensor, now: TrainingProgress, coupling: Coupling | None = None
    ) -> Generator[TrainingProgress, None, Slope]:
        """The slope at V vectors [V, d], a batch at a time; yields ``now`` between batches, where others may compute.

        Where a term couples all vectors, a first pass without gradients collects every Δ and the term's gradient with
        respect to it; a second pass pulls that back to θ. The memory of the backward pass therefore does not grow with
        the number of vectors, and the result does not depend on the batch size.
        """
        couplings = self._between if coupling is None else [*self._between, coupling]
        chunks = thetas.split(self.batch)
        pulls: tuple[Tensor, ...] = ()
        height = 0.0
        if couplings and len(chunks) > 1:
            deltas = []
            for chunk in chunks:
                with torch.no_grad():
                    deltas.append(self.piece.deltas(chunk, self.stop)[:, self.mask])
                yield now
            everything = torch.cat(deltas).requires_grad_()
            coupled = torch.stack([term(everything) for term in couplings]).sum()
            pulls = torch.autograd.grad(coupled, everything)[0].split(self.batch)
            height = float(coupled.detach())
        parts = []
        terms = self._own if pulls else [*self._own, *couplings]
        for number, chunk in enumerate(chunks):
            if number:
                yield now
            compute = functools.partial(self._chunk_slope, chunk, terms, pulls[number] if pulls else None)
            parts.append(self.once(compute))
            value, _, gradient, total = parts[-1]
            height += float(total)
            self.refuse_unusable(value, gradient)
        values, counted, gradients, _ = zip(*parts, strict=True)
        return Slope(torch.cat(values), torch.cat(counted), torch.cat(gradients), height)

    def _chunk_slope(self, chunk: Tensor, terms: list[Coupling], pull: Tensor | None) -> tuple[Tensor, ...]:
        """Of one batch: J, J as it is counted, the gradients, and its share of the sum."""
        leaf = chunk.detach().requires_grad_()
        deltas = self.piece.deltas(leaf, self.stop)
        scoped = deltas[:, self.mask]
        counted = self.counted(deltas, self.mask)
        total = counted.log().sum() / self._degree
        for term in terms:
            total = total + term(scoped)
        share = total.detach()
        if pull is not None:
            total = total + (pull * scoped).sum()
        gradient = torch.autograd.grad(total, leaf)[0]
        values = self.objective(deltas.detach(), self.mask)
        return tuple(found.to(self.device) for found in (values, counted.detach(), gradient, share))

    def values_and_gradients(
        self, thetas: Tensor, now: TrainingProgress
    ) -> Generator[TrainingProgress, None, tuple[Tensor, Tensor]]:
        """J [V] and the gradients [V, d] of J as it is counted, for methods that need the gradient's size; agreement
        enters as the factor (numerator/denominator)^(λ p/q)."""
        slope = yield from self.slope(thetas, now)
        return slope.values, self._degree * slope.counted[:, None].to(slope.gradients) * slope.gradients

    def refuse_unusable(self, values: Tensor, gradients: Tensor) -> None:
        """Raises InputError where J or its gradients overflow or vanish."""
        if not bool(values.isfinite().all() and gradients.isfinite().all()):
            p, q = self.objective.p, self.objective.q
            problem = f"with p = {p:g} and q = {q:g} the objective overflows or underflows ({values.max():.3g})"
            raise InputError("p, q or R", problem, "Choose p = 2, q = p, and an R around 0.1 × the median norm")

    def _chunk_values(self, chunk: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            return (self.objective(self.piece.deltas(chunk, self.stop), self.mask).to(self.device),)

    def _agreement_terms(self) -> tuple[list[Coupling], list[Coupling]]:
        """The agreement terms: those of each vector alone, and those between vectors."""
        config = self.config
        if not config.agreement:
            return [], []
        if len(self.mask) < 2:
            raise InputError("agreement", "there is only one prompt", "Train on two prompts or more, or choose 0")
        contrastive = config.agreement_form == "contrastive"

        def term(scoped: Tensor) -> Tensor:
            changes = prompt_changes(scoped, self.mask)
            if contrastive:
                return -config.agreement * contrastive_loss(changes, config.temperature).sum()
            return config.agreement * log_numerator(changes, config.temperature).sum()

        return ([], [term]) if contrastive else ([term], [])

    def values_in_turn(self, thetas: Tensor, now: TrainingProgress) -> Generator[TrainingProgress, None, list[float]]:
        """J of each vector, without gradients; yields ``now`` between batches. Raises Stopped."""
        parts = yield from self.in_turn(thetas.split(self.batch), self._chunk_values, now)
        return torch.cat([found for (found,) in parts]).tolist()

    def final(self, thetas: Tensor, curves: list[list[float]], stopped: bool) -> list[float]:
        """J of each vector at the end; after a stop, which must be quick, the last known J."""
        if not stopped:
            with suppress(Stopped):
                parts = [self.once(functools.partial(self._chunk_values, chunk)) for chunk in thetas.split(self.batch)]
                return torch.cat([found for (found,) in parts]).tolist()
        return [curve[-1] for curve in curves]

    def measured(self, rows: Tensor, strength: list[float] | None = None) -> Training:
        """The result of a single-step method that found ``rows`` [V, d] of norm R: measures J. A stop keeps the vectors
        measured so far."""
        total, values, curves, stopped = len(rows), list[float](), list[list[float]](), False
        try:
            for chunk in rows.to(self.device).split(self.batch):
                (found,) = self._chunk_values(chunk)
                self.refuse_unusable(found, found)
                values += found.tolist()
                curves += [[value] for value in found.tolist()]
                done = len(values)
                yield TrainingProgress("measuring J", done, total, self.seconds_left(done, total), curves, done)
        except Stopped:
            stopped = True
        kept = rows[: len(values)].float().cpu()
        strength = strength and strength[: len(values)]
        return TrainingResult(kept, values, curves, 1, stopped, self.seconds, strength)

    @property
    def seconds(self) -> float:
        """Seconds since the training began."""
        return time.monotonic() - self._start

    def seconds_left(self, done: int, total: int) -> float | None:
        """Seconds left at the pace so far."""
        return None if done == 0 else self.seconds / done * (total - done)
