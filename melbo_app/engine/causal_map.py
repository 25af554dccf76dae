"""The map that vectors are trained on."""

from typing import Protocol

import torch
from torch import Tensor

from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop


class CausalMap(Protocol):
    """The map from vectors to the changes they cause, such as a ``ModelSlice``."""

    @property
    def width(self) -> int:
        """d, the length of a vector."""

    @property
    def device(self) -> torch.device:
        """The device of the vectors."""

    @property
    def baseline(self) -> Tensor:
        """Z(0): [P, T, d]."""

    def mask(self, scope: TokenScope) -> Tensor:
        """The positions that count: [P, T] bool."""

    def deltas(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
        """Δ(θ) for V vectors [V, d]: [V, P, T, d]. Differentiable in ``thetas``."""
