"""Rank-1 adapters on a band of blocks, as a map that can be trained on."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from melbo_app.engine.model import LanguageModel
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import Stop, plain
from melbo_app.errors import InputError


class AdapterBand:
    """Adapters that add bₗ(aₗ·x) to the output of one linear layer of each block ℓ = s+1 … t, x being its input: the
    change ΔWₗ = bₗ aₗᵀ of its weights.

    An adapter is a row [n] with a and b of all layers in turn; ``shaped`` ones have ‖ΔWₗ‖ = R in each. A ``CausalMap``
    from rows to the change at the output of block t.

    Attributes:
        names: the layers' names in the model.
    """

    def __init__(self, piece: ModelSlice, module: str) -> None:
        """``module`` is the last part of the layers' names, such as o_proj. Raises InputError if a block has none."""
        self.piece = piece
        self._layers = layers_called(piece.lm, range(piece.source + 1, piece.target + 1), module)
        names = {layer: name for name, layer in piece.lm.model.named_modules()}
        self.names = [names[layer] for layer in self._layers]
        self._sizes = [size for layer in self._layers for size in _widths(layer)]

    @property
    def width(self) -> int:
        """n, the numbers of an adapter."""
        return sum(self._sizes)

    @property
    def device(self) -> torch.device:
        """The device of the rows."""
        return self.piece.device

    @property
    def baseline(self) -> Tensor:
        """Z(0): [P, T, d]."""
        return self.piece.baseline

    def mask(self, scope: TokenScope) -> Tensor:
        """The positions that count: [P, T] bool."""
        return self.piece.mask(scope)

    def deltas(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
        """Δ of V adapters [V, n]: [V, P, T, d]. Differentiable in ``thetas``. Raises Stopped."""
        nothing = torch.zeros(len(thetas), self.piece.width, device=self.device)
        with self.on(thetas):
            return self.piece.deltas(nothing, plain(stop))  # nobody else may compute while the adapters are on

    @contextmanager
    def on(self, rows: Tensor) -> Iterator[None]:
        """In this context, the model computes with the adapters ``rows`` [V, n]: each in as many rows of the batch as
        come to it, the first adapter's first."""
        with ExitStack() as hooks:
            for layer, parts in zip(self._layers, self.parts(rows), strict=True):
                hooks.callback(layer.register_forward_hook(_adding(*parts)).remove)
            yield

    def parts(self, rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        """a [V, inputs] and b [V, outputs] of each layer."""
        split = rows.split(self._sizes, dim=1)
        return list(zip(split[::2], split[1::2], strict=True))

    def norm(self, radius: float) -> float:
        """The norm of an adapter with ‖ΔWₗ‖ = ``radius`` in each layer."""
        return (len(self._sizes) * radius) ** 0.5

    def shaped(self, rows: Tensor, radius: float) -> Tensor:
        """The same directions with ‖a‖ = ‖b‖ = √R in each layer, so that ‖ΔWₗ‖ = R."""
        return radius**0.5 * torch.cat([normalize(part, dim=1) for part in rows.split(self._sizes, dim=1)], dim=1)

    def beside_random(self, rows: Tensor, radius: float, seed: int) -> Tensor:
        """[1 + 2 V, n]: a row of zeros, the V adapters ``rows``, and as many in uniformly random directions."""
        random = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed)).to(rows)
        return torch.cat([torch.zeros_like(rows[:1]), rows, self.shaped(random, radius)])


def layers_called(lm: LanguageModel, blocks: Sequence[int], module: str) -> list[nn.Module]:
    """Each block's linear layer whose name ends in ``module``. Raises InputError if a block has none or several."""
    found = []
    for number in blocks:
        linear = {name: one for name, one in lm.block("layer", number).named_modules() if hasattr(one, "weight")}
        linear = {name: one for name, one in linear.items() if one.weight.ndim == 2}
        called = [one for name, one in linear.items() if f".{name}".endswith(f".{module}")]
        if len(called) != 1:
            problem = f"{len(called) or 'no'} layers of block {number} of {lm.name} are called {module}"
            raise InputError("module", problem, f"Choose one of {', '.join(sorted(linear))}")
        found += called
    return found


def _widths(layer: Any) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    outputs, inputs = layer.weight.shape
    return (inputs, outputs) if isinstance(layer, nn.Linear) else (outputs, inputs)  # GPT-2's is transposed


def _adding(a: Tensor, b: Tensor) -> Any:
    def add(_layer: Any, args: tuple, output: Tensor) -> Tensor:
        given = args[0]
        each = given.shape[0] // len(a)
        left, right = (part.repeat_interleave(each, dim=0).to(given) for part in (a, b))
        return output + torch.einsum("rti,ri->rt", given, left)[..., None] * right[:, None, :]

    return add
