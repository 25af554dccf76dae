"""The part of a model between source and target layer, run again and again with other vectors added.

The model runs once as far as the target layer; what the blocks s+1 … t were called with is kept. After that only
these blocks are called, with the kept source activations plus θ, for a whole batch of vectors.
"""

from collections import UserDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of
from melbo_app.engine.block_call import RowSelection
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.reference import usual_norms
from melbo_app.engine.scope import TokenScope, median_norm, sinks
from melbo_app.engine.stopping import Stop, asking, raise_if
from melbo_app.errors import InputError

TOKENS_AT_ONCE = 2048
"""Tokens of all rows together in one pass on a CPU: one or two seconds, after which others may compute. More are no
faster."""
PART_TOKENS = 512
"""Where the prompts have more than that, so many go through together: the first run cannot be interrupted within."""


Calls = list[tuple[tuple, dict[str, Any]]]
"""What each block is called with beside the hidden states."""


class _TargetReached(Exception):
    """Ends the first run at the target layer: nothing above it is needed."""


@dataclass
class _Part:
    """Some of the prompts, which go through the blocks together.

    Attributes:
        rows: which they are.
        calls: what the blocks were called with for them.
        tiled: the same for a number of vectors, the last that was asked for.
    """

    rows: slice
    calls: Calls
    tiled: tuple[int, Calls]

    @property
    def is_shared(self) -> bool:
        """Whether blocks hand something on in what they are called with, which two passes must not have in common."""
        return any(isinstance(value, UserDict) for args, kwargs in self.calls for value in (*args, *kwargs.values()))


class ModelSlice:
    """Blocks s+1 … t of a model on P prompts of T tokens, of which as many go through together as take a moment.

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

    def __init__(
        self, lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int, stop: Stop | None = None
    ) -> None:
        """Run the model once. ``stop`` is asked on the way.

        Raises:
            Stopped: ``stop()`` became true.
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
        self._parts: list[_Part] = []
        self._run_once(stop)
        usual = usual_norms(lm)
        norms = self.source_hidden.float().norm(dim=-1)
        self.sinks = sinks(norms, encoded, usual[source])
        self.sinks |= sinks(self.baseline.float().norm(dim=-1), encoded, usual[target])
        ordinary = encoded.attention_mask.bool() & ~self.sinks
        own = median_norm(norms, ordinary, encoded, usual[source])
        self.median_norm, self.norm_is_usual = (usual[source], True) if own is None else (own, False)
        self._check(stop)

    @property
    def width(self) -> int:
        """d, the length of a vector."""
        return self.lm.hidden_size

    @property
    def device(self) -> torch.device:
        """Where vectors are added, and so where they belong."""
        return self.source_hidden.device

    def activations(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
        """Z(θ) for V vectors [V, d]: [V, P, T, d] in the model's dtype. Differentiable in ``thetas``.

        Raises:
            Stopped: ``stop()`` became true; it is asked before every block, forwards and backwards.
        """
        found = [self._through(part, thetas, stop) for part in self._parts]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _through(self, part: _Part, thetas: Tensor, stop: Stop | None) -> Tensor:
        """Z(θ) of some of the prompts."""
        kept = self.source_hidden[part.rows]
        vectors, (prompts, tokens, width) = thetas.shape[0], kept.shape
        hidden = kept[None] + thetas.to(kept)[:, None, None, :]
        hidden = hidden.reshape(vectors * prompts, tokens, width)
        blocks = self.lm.blocks[self.source + 1 : self.target + 1]
        for block, (args, kwargs) in zip(blocks, self._calls_for(part, vectors), strict=True):
            raise_if(stop)
            hidden = hidden_of(block(hidden, *args, **kwargs))
            if stop is not None and hidden.requires_grad:
                hidden.register_hook(lambda _gradient: raise_if(stop))
        return hidden.reshape(vectors, prompts, tokens, width)

    def deltas(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
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

    def _run_once(self, stop: Stop | None) -> None:
        prompts, tokens = self.encoded.input_ids.shape
        few = prompts * tokens <= TOKENS_AT_ONCE or self.lm.device.type != "cpu"
        size = prompts if few else max(1, PART_TOKENS // tokens)
        begun, ended = [], []
        for start in range(0, prompts, size):
            raise_if(stop)
            rows = slice(start, min(start + size, prompts))
            calls, before, after = self._capture(self.encoded.take(range(rows.start, rows.stop)), stop)
            self._parts.append(_Part(rows, calls, (1, calls)))
            begun.append(before)
            ended.append(after)
        self.source_hidden, self.baseline = torch.cat(begun), torch.cat(ended)

    def _capture(self, encoded: EncodedPrompts, stop: Stop | None) -> tuple[Calls, Tensor, Tensor]:
        """What the blocks are called with for these prompts, and what comes out of block s and of block t."""
        blocks = self.lm.blocks
        calls: Calls = []
        seen: list[Tensor] = []

        def keep_call(_module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            if args:
                calls.append((args[1:], kwargs))
            else:
                calls.append(((), {key: value for key, value in kwargs.items() if key != "hidden_states"}))

        def keep_source(_module: Any, _args: tuple, output: Any) -> None:
            seen.append(hidden_of(output).detach())

        def keep_target(_module: Any, _args: tuple, output: Any) -> None:
            seen.append(hidden_of(output).detach())
            raise _TargetReached

        handles = [
            block.register_forward_pre_hook(keep_call, with_kwargs=True)
            for block in blocks[self.source + 1 : self.target + 1]
        ]
        handles.append(blocks[self.source].register_forward_hook(keep_source))
        handles.append(blocks[self.target].register_forward_hook(keep_target))
        try:
            with torch.no_grad(), asking(self.lm, stop):
                self.lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids)
        except _TargetReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        before, after = seen
        return calls, before, after

    def _check(self, stop: Stop | None) -> None:
        """Two rows without steering must give the baseline, else the blocks cannot be called on their own. Of many
        prompts the first and the last ones are tried: the others go the same way."""
        for part in self._parts[:: max(1, len(self._parts) - 1)]:
            self._check_part(part, stop)

    def _check_part(self, part: _Part, stop: Stop | None) -> None:
        width, baseline = self.source_hidden.shape[-1], self.baseline[part.rows]
        with torch.no_grad():
            again = self._through(part, torch.zeros(2, width, device=self.source_hidden.device), stop)
        real = self.encoded.attention_mask[part.rows].bool().to(baseline.device)
        error = (again - baseline)[:, real].float().norm(dim=-1) / baseline[real].float().norm(dim=-1)
        allowed = 1e-3 if baseline.dtype in (torch.float32, torch.float64) else 0.05
        if not bool((error <= allowed).all()):
            raise InputError(
                "model",
                f"blocks {self.source + 1} to {self.target} of {self.lm.name} give something else when they are called "
                f"on their own (relative difference {float(error.max()):.2g})",
                "This kind of model is not supported; choose another",
            )

    def _calls_for(self, part: _Part, vectors: int) -> Calls:
        """What each block is called with beside the hidden states, for a batch of V·P rows, vectors outermost."""
        count, calls = part.tiled
        if count != vectors or part.is_shared:
            prompts = part.rows.stop - part.rows.start
            select = RowSelection(self.lm, prompts, torch.arange(prompts).repeat(vectors))
            calls = [(select(args), select(kwargs)) for args, kwargs in part.calls]
            part.tiled = (vectors, calls)
        return calls
