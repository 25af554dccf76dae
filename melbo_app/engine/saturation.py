"""Saturation: how far the change of a single token counts."""

from collections.abc import Callable

from torch import Tensor

from melbo_app.engine.causal_map import CausalMap

Saturation = Callable[[Tensor], Tensor]
"""Takes Δ [V, P, T, d] and returns what of it counts, of the same shape."""


def saturation(piece: CausalMap, kind: str) -> Saturation:
    """The saturation called ``kind``, on the activations of ``piece``."""
    return lambda deltas: deltas
