"""The part of a model between source and target layer, run again and again with other vectors added.

The model runs once as far as the target layer; what the blocks s+1 … t were called with is kept. After that only
these blocks are called, with the kept source activations plus θ, for a whole batch of vectors.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of
from melbo_app.engine.block_call import RowSelection
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.reference import usual_norms
from melbo_app.engine.scope import TokenScope, median_norm, sinks
from melbo_app.errors import InputError, Stopped

TOKENS_AT_ONCE = 2048
"""Tokens of all rows together in one pass on a CPU: one or two seconds, after which others may compute. More are no
faster."""


class _TargetReached(Exception):
    """Ends the first run at the target layer: nothing above it is needed."""


class ModelSlice:
    """Blocks s+1 … t of a model on P prompts of T tokens.

    Attributes:
        source_hidden: [P, T, d], output of block s without steering.
        baseline: [P, T, d], Z(0), output of block t without steering.
        sinks: [P, T] bool, attention sinks at the source or the target layer.
        median_norm: median residual norm at the source, over all tokens but sinks and padding; where the prompts have
            too few of them, that of a text of our own (``reference``).
        norm_is_usual: whether it is the latter.
        vector_bytes: what a vector takes of the memory, once that was counted.
    """

    vector_bytes: int | None = None

    def __init__(self, lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int) -> None:
        """Run the model once.

        Raises:
            InputError: a layer that does not exist, target ≤ source, or a model whose blocks, called again, do not
                give what it gave (they share state): training on it would be silently wrong.
        """
        lm.block("source layer", source)
        lm.block("target layer", target)
        if target <= source:
            raise InputError(
                "target layer", f"{target} is not above the source layer {source}", f"Choose {source + 1} or more"
            )
        self.lm, self.encoded, self.source, self.target = lm, encoded, source, target
        self._calls: list[tuple[tuple, dict[str, Any]]] = []
        self._tiled: tuple[int, list[tuple[tuple, dict[str, Any]]]] = (1, self._calls)
        self._capture()
        usual = usual_norms(lm)
        norms = self.source_hidden.float().norm(dim=-1)
        self.sinks = sinks(norms, encoded, usual[source])
        self.sinks |= sinks(self.baseline.float().norm(dim=-1), encoded, usual[target])
        ordinary = encoded.attention_mask.bool() & ~self.sinks
        own = median_norm(norms, ordinary, encoded, usual[source])
        self.median_norm, self.norm_is_usual = (usual[source], True) if own is None else (own, False)
        self._check()

    @property
    def width(self) -> int:
        """d, the length of a vector."""
        return self.lm.hidden_size

    @property
    def device(self) -> torch.device:
        """Where vectors are added, and so where they belong."""
        return self.source_hidden.device

    def activations(self, thetas: Tensor, stop: Callable[[], bool] | None = None) -> Tensor:
        """Z(θ) for V vectors [V, d]: [V, P, T, d] in the model's dtype. Differentiable in ``thetas``.

        Raises:
            Stopped: ``stop()`` became true; it is asked before every block, forwards and backwards.
        """
        vectors, (prompts, tokens, width) = thetas.shape[0], self.source_hidden.shape
        hidden = self.source_hidden[None] + thetas.to(self.source_hidden)[:, None, None, :]
        hidden = hidden.reshape(vectors * prompts, tokens, width)
        blocks = self.lm.blocks[self.source + 1 : self.target + 1]
        for block, (args, kwargs) in zip(blocks, self._calls_for(vectors), strict=True):
            _raise_if(stop)
            hidden = hidden_of(block(hidden, *args, **kwargs))
            if stop is not None and hidden.requires_grad:
                hidden.register_hook(lambda _gradient: _raise_if(stop))
        return hidden.reshape(vectors, prompts, tokens, width)

    def deltas(self, thetas: Tensor, stop: Callable[[], bool] | None = None) -> Tensor:
        """Δ(θ) = Z(θ) - Z(0) for V vectors [V, d]: [V, P, T, d], float32 at least. Differentiable in ``thetas``."""
        steered = self.activations(thetas, stop)
        kind = torch.promote_types(steered.dtype, torch.float32)
        return steered.to(kind) - self.baseline.to(kind)

    def mask(self, scope: TokenScope) -> Tensor:
        """The positions that count: [P, T] bool."""
        return scope.mask(self.encoded, self.sinks).to(self.baseline.device)

    def source_means(self, scope: TokenScope) -> Tensor:
        """Mean residual of each prompt at the output of the source layer, over the tokens in scope: [P, d] float32."""
        mask = scope.mask(self.encoded, self.sinks).to(self.source_hidden.device)
        return torch.stack(
            [row[counts].float().mean(dim=0) for row, counts in zip(self.source_hidden, mask, strict=True)]
        )

    def _capture(self) -> None:
        blocks = self.lm.blocks

        def keep_call(_module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            if args:
                self._calls.append((args[1:], kwargs))
            else:
                self._calls.append(((), {key: value for key, value in kwargs.items() if key != "hidden_states"}))

        def keep_source(_module: Any, _args: tuple, output: Any) -> None:
            self.source_hidden = hidden_of(output).detach()

        def keep_target(_module: Any, _args: tuple, output: Any) -> None:
            self.baseline = hidden_of(output).detach()
            raise _TargetReached

        handles = [
            block.register_forward_pre_hook(keep_call, with_kwargs=True)
            for block in blocks[self.source + 1 : self.target + 1]
        ]
        handles.append(blocks[self.source].register_forward_hook(keep_source))
        handles.append(blocks[self.target].register_forward_hook(keep_target))
        try:
            with torch.no_grad():
                self.lm.forward(self.encoded.input_ids, self.encoded.attention_mask, self.encoded.position_ids)
        except _TargetReached:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def _check(self) -> None:
        """Two rows without steering must give the baseline, else the blocks cannot be called on their own."""
        width = self.source_hidden.shape[-1]
        with torch.no_grad():
            again = self.activations(torch.zeros(2, width, device=self.source_hidden.device))
        real = self.encoded.attention_mask.bool().to(self.baseline.device)
        error = (again - self.baseline)[:, real].float().norm(dim=-1) / self.baseline[real].float().norm(dim=-1)
        allowed = 1e-3 if self.baseline.dtype in (torch.float32, torch.float64) else 0.05
        if not bool((error <= allowed).all()):
            raise InputError(
                "model",
                f"blocks {self.source + 1} to {self.target} of {self.lm.name} give something else when they are called "
                f"on their own (relative difference {float(error.max()):.2g})",
                "This kind of model is not supported; choose another",
            )

    def _calls_for(self, vectors: int) -> list[tuple[tuple, dict[str, Any]]]:
        """What each block is called with beside the hidden states, for a batch of V·P rows, vectors outermost."""
        if self._tiled[0] != vectors:
            prompts = self.source_hidden.shape[0]
            select = RowSelection(self.lm, prompts, torch.arange(prompts).repeat(vectors))
            self._tiled = (vectors, [(select(args), select(kwargs)) for args, kwargs in self._calls])
        return self._tiled[1]


def _raise_if(stop: Callable[[], bool] | None) -> None:
    if stop is not None and stop():
        raise Stopped
