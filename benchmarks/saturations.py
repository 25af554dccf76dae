"""What else of Δ could count, so that fast ascent does not end in runaway tokens: candidates beside what the engine has
(``bell 0.3`` in the table: a token counts most where its change is that share of its norm)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.slice import ModelSlice

Saturation = Callable[[Tensor], Tensor]
"""Takes Δ [V, P, T, d] and returns what of it counts, of the same shape."""


@dataclass(frozen=True, eq=False)
class SaturatedObjective(PowerObjective):
    """The published objective on what a saturation leaves of Δ."""

    saturate: Saturation = lambda deltas: deltas

    def __call__(self, deltas: Tensor, mask: Tensor) -> Tensor:
        return super().__call__(self.saturate(deltas), mask)


SHARE_OF_SINKS = 0.99
"""Massive channels are the fewest that hold this share of the squared norm of the attention sinks."""


def raw(piece: ModelSlice) -> Saturation:
    """Everything."""
    return lambda deltas: deltas


def chord(piece: ModelSlice) -> Saturation:
    """The change of direction: after a normalisation without gains."""
    return _after(piece, lambda rows: nn.functional.normalize(rows, dim=-1))


def next_norm(piece: ModelSlice) -> Saturation:
    """After the first normalisation of the next block, gains and all."""
    following = piece.lm.blocks[piece.target + 1]
    norm = next(module for name, module in following.named_modules() if "norm" in name or name.startswith("ln"))
    weight = next(iter(norm.parameters()))
    return _after(piece, lambda rows: norm(rows.to(weight.dtype)).float())


def channels(piece: ModelSlice) -> Saturation:
    """Without the channels that make attention sinks massive (Sun et al. 2024)."""
    rows = piece.baseline[piece.sinks].float().square()
    energy = rows.sum(dim=0) if len(rows) else torch.zeros(piece.baseline.shape[-1])
    order = energy.argsort(descending=True)
    before = energy[order].cumsum(0) - energy[order]
    massive = order[(before < SHARE_OF_SINKS * energy.sum()) & (energy[order] > 0)]
    keep = torch.ones_like(energy)
    keep[massive] = 0
    return lambda deltas: deltas * keep


def smooth(share: float) -> Callable[[ModelSlice], Saturation]:
    """‖Δ‖ of a token approaches, and never exceeds, ``share`` of the median norm at the target."""

    def make(piece: ModelSlice) -> Saturation:
        limit = share * _median(piece)
        return lambda deltas: deltas * (limit / (limit**2 + deltas.square().sum(-1, keepdim=True)).sqrt())

    return make


def hump(share: float) -> Callable[[ModelSlice], Saturation]:
    """What a token changes counts most at ``share`` of its own norm, and less and less beyond."""

    def make(piece: ModelSlice) -> Saturation:
        peak = share * piece.baseline.float().norm(dim=-1, keepdim=True)
        return lambda deltas: deltas * (1 - _norms(deltas) / peak).exp()

    return make


def capped(share: float) -> Callable[[ModelSlice], Saturation]:
    """A token counts up to ``share`` of its own norm, and has no gradient beyond."""

    def make(piece: ModelSlice) -> Saturation:
        limit = share * piece.baseline.float().norm(dim=-1, keepdim=True)

        def shrink(deltas: Tensor) -> Tensor:
            norms = _norms(deltas)
            return torch.nn.functional.normalize(deltas, dim=-1) * norms.minimum(limit)

        return shrink

    return make


def logarithmic(piece: ModelSlice) -> Saturation:
    """log(1 + n) instead of n, n = ‖Δ‖ in units of the median norm at the target."""
    unit = _median(piece)

    def shrink(deltas: Tensor) -> Tensor:
        norms = _norms(deltas) / unit
        return deltas * (norms.log1p() / norms)

    return shrink


def _after(piece: ModelSlice, norm: Callable[[Tensor], Tensor]) -> Saturation:
    """The difference that is left after ``norm``, which sees Z(0) + Δ and Z(0)."""
    unsteered = piece.baseline.float()
    quiet = norm(unsteered)
    return lambda deltas: norm(unsteered + deltas) - quiet


def _norms(deltas: Tensor) -> Tensor:
    """[V, P, T, 1]; the root of 0 has no gradient, so a tiny number stands in for it."""
    return deltas.square().sum(-1, keepdim=True).clamp(min=1e-30).sqrt()


def _median(piece: ModelSlice) -> float:
    """Median norm at the target of all tokens but sinks and padding."""
    ordinary = piece.encoded.attention_mask.bool() & ~piece.sinks
    return float(piece.baseline.float().norm(dim=-1)[ordinary].median())


CANDIDATES: dict[str, Callable[[ModelSlice], Saturation]] = {
    "raw": raw,
    "chord": chord,
    "next norm": next_norm,
    "channels": channels,
    "smooth 1": smooth(1.0),
    "smooth 0.3": smooth(0.3),
    "hump 0.3": hump(0.3),
    "hump 0.5": hump(0.5),
    "capped 0.3": capped(0.3),
    "log": logarithmic,
}
