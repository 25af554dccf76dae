"""Candidate saturations of Δ that might keep fast ascent from ending in runaway tokens, besides the engine's own
(``bell 0.3`` in the table: a token counts most when its change is that share of its norm)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.slice import ModelSlice

Saturation = Callable[[Tensor], Tensor]
"""Maps Δ [V, P, T, d] to the part that counts, of the same shape."""


@dataclass(frozen=True, eq=False)
class SaturatedObjective(PowerObjective):
    """The published objective on a saturated Δ."""

    saturate: Saturation = lambda deltas: deltas

    def __call__(self, deltas: Tensor, mask: Tensor) -> Tensor:
        return super().__call__(self.saturate(deltas), mask)


SHARE_OF_SINKS = 0.99
"""Massive channels are the fewest that hold this share of the squared norm of the attention sinks."""


def raw(piece: ModelSlice) -> Saturation:
    """All of Δ."""
    return lambda deltas: deltas


def chord(piece: ModelSlice) -> Saturation:
    """The change of direction: Δ after a normalisation without gains."""
    return _after(piece, lambda rows: nn.functional.normalize(rows, dim=-1))


def next_norm(piece: ModelSlice) -> Saturation:
    """Δ after the first normalisation of the next block, with its gains."""
    following = piece.lm.blocks[piece.target + 1]
    norm = next(module for name, module in following.named_modules() if "norm" in name or name.startswith("ln"))
    weight = next(iter(norm.parameters()))
    return _after(piece, lambda rows: norm(rows.to(weight.dtype)).float())


def channels(piece: ModelSlice) -> Saturation:
    """Δ without the channels that make attention sinks massive (Sun et al. 2024)."""
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
    """A token's change counts most at ``share`` of its own norm, and ever less beyond."""

    def make(piece: ModelSlice) -> Saturation:
        peak = share * piece.baseline.float().norm(dim=-1, keepdim=True)
        return lambda deltas: deltas * (1 - _norms(deltas) / peak).exp()

    return make


def capped(share: float) -> Callable[[ModelSlice], Saturation]:
    """A token's change counts up to ``share`` of its own norm, without gradient beyond."""

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
    """norm(Z(0) + Δ) − norm(Z(0))."""
    unsteered = piece.baseline.float()
    quiet = norm(unsteered)
    return lambda deltas: norm(unsteered + deltas) - quiet


def _norms(deltas: Tensor) -> Tensor:
    """[V, P, T, 1]; clamped, because the square root has no gradient at 0."""
    return deltas.square().sum(-1, keepdim=True).clamp(min=1e-30).sqrt()


def _median(piece: ModelSlice) -> float:
    """Median norm at the target over all tokens except sinks and padding."""
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
