"""The MELBO objective."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PowerObjective:
    """J(θ) = Σ_i ( Σ_τ ‖Δ_{i,τ}(θ)‖^p )^{1/q}, the published form (Mack & Turner 2024).

    τ runs over the tokens in scope, i over the prompts, and the norm is over the hidden dimension. (The published code
    takes the norm over tokens instead, which is the same for p = 2.)

    With ``peaks``, c(‖Δ_{i,τ}‖) replaces ‖Δ_{i,τ}‖, where c(n) = n / (1 + (n/peak)²) is n for small n, largest at the
    token's peak, and falls beyond it, so that a runaway token gains nothing.
    """

    p: float = 2.0
    q: float = 2.0
    peaks: Tensor | None = None
    """[P, T], above 0."""

    def __call__(self, deltas: Tensor, mask: Tensor) -> Tensor:
        """J of V vectors: [V].

        Args:
            deltas: [V, P, T, d].
            mask: [P, T] bool, the tokens in scope.
        """
        # masked first, because a sink's huge norm to a high power is infinite, and 0 · ∞ is NaN
        squares = deltas.square().sum(dim=-1).masked_fill(~mask, 0)
        if self.peaks is not None:
            squares = squares / (1 + squares / self.peaks.square()).square()
        norms = squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()  # √0 has no gradient
        # in units of the largest norm, so that a high power overflows only where J does
        unit = norms.detach().amax(dim=-1, keepdim=True)
        sums = ((norms / unit) ** self.p * mask).sum(dim=-1)
        return (unit.squeeze(-1) ** (self.p / self.q) * sums ** (1 / self.q)).sum(dim=-1)
