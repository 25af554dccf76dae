"""The blocks of a model between source and target layer, run for many vectors.

The model runs once up to the target layer, and the arguments of the blocks s+1 … t are kept. After that only these
blocks run, on the kept source activations plus θ, for a whole batch of vectors.
"""

from collections import UserDict
from contextlib import ExitStack, suppress
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
"""Tokens of all rows in one pass on a CPU: one or two seconds, after which others may compute. More are no faster."""
PART_TOKENS = 512
"""Longer sets of prompts run in parts of this many tokens, because nothing can interrupt a part's first run."""


Calls = list[tuple[tuple, dict[str, Any]]]
"""The arguments of each block beside the hidden states."""


class _TargetReached(Exception):
    """Ends the first run at the target layer."""


@dataclass
class _Part:
    """Prompts that run together.

    Attributes:
        rows: their rows.
        calls: the blocks' arguments for these prompts.
        tiled: a number of vectors, and the arguments for these prompts and so many vectors.
    """

    rows: slice
    calls: Calls
    tiled: tuple[int, Calls]


class ModelSlice:
    """Blocks s+1 … t of a model on P prompts of T tokens.

    Attributes:
        source_hidden: [P, T, d], output of block s without steering.
        baseline: [P, T, d], Z(0), output of block t without steering.
        sinks: [P, T] bool, attention sinks at the source or the target layer.
        median_norm: median residual norm at the source over all tokens but sinks and padding, or that of the reference
            text where the prompts have too few of them.
        norm_is_usual: whether it is the reference text's.
        vector_bytes: memory per vector in bytes, once measured.
    """

    vector_bytes: int | None = None

    def __init__(
        self, lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int, stop: Stop | None = None
    ) -> None:
        """Run the model once.

        Raises:
            Stopped: ``stop()`` became true.
            InputError: a layer that does not exist, target ≤ source, or blocks that do not reproduce the model's
                outputs when called again, because they share state: training would be silently wrong.
        """
        lm.block("source layer", source)
        lm.block("target layer", target)
        if target <= source:
            problem = f"{target} is not above the source layer {source}"
            raise InputError("target layer", problem, f"Choose {source + 1} or more")
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
        for part in self._parts[:: max(1, len(self._parts) - 1)]:  # the first and the last part stand for all
            self._check(part, stop)

    @property
    def width(self) -> int:
        """d, the length of a vector."""
        return self.lm.hidden_size

    @property
    def device(self) -> torch.device:
        """The device of the source layer's output, and so of the vectors."""
        return self.source_hidden.device

    @property
    def vectors_per_pass(self) -> int:
        """Vectors in one pass of some TOKENS_AT_ONCE tokens, at least 1."""
        return max(1, TOKENS_AT_ONCE // self.encoded.input_ids.numel())

    def activations(self, thetas: Tensor, stop: Stop | None = None) -> Tensor:
        """Z(θ) for V vectors [V, d]: [V, P, T, d] in the model's dtype. Differentiable in ``thetas``. Raises Stopped if
        ``stop()``, which is called before every block, forwards and backwards, becomes true."""
        found = [self._through(part, thetas, stop) for part in self._parts]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _through(self, part: _Part, thetas: Tensor, stop: Stop | None) -> Tensor:
        """Z(θ) of one part."""
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
        """The tokens in scope: [P, T] bool."""
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
        outputs = []
        for start in range(0, prompts, size):
            raise_if(stop)
            rows = slice(start, min(start + size, prompts))
            calls, *before_and_after = self._capture(self.encoded.take(range(rows.start, rows.stop)), stop)
            self._parts.append(_Part(rows, calls, (1, calls)))
            outputs.append(before_and_after)
        self.source_hidden, self.baseline = (torch.cat(parts) for parts in zip(*outputs, strict=True))

    def _capture(self, encoded: EncodedPrompts, stop: Stop | None) -> tuple[Calls, Tensor, Tensor]:
        """The blocks' arguments for these prompts, and the outputs of block s and block t."""
        blocks = self.lm.blocks
        calls: Calls = []
        seen: list[Tensor] = []

        def keep_call(_module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            if args:
                calls.append((args[1:], kwargs))
            else:
                calls.append(((), {key: value for key, value in kwargs.items() if key != "hidden_states"}))

        def keep_output(_module: Any, _args: tuple, output: Any) -> None:
            seen.append(hidden_of(output).detach())
            if len(seen) == 2:
                raise _TargetReached

        with torch.no_grad(), asking(self.lm, stop), ExitStack() as hooks:
            for block in blocks[self.source + 1 : self.target + 1]:
                hooks.callback(block.register_forward_pre_hook(keep_call, with_kwargs=True).remove)
            for block in (blocks[self.source], blocks[self.target]):
                hooks.callback(block.register_forward_hook(keep_output).remove)
            with suppress(_TargetReached):
                self.lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids)
        before, after = seen
        return calls, before, after

    def _check(self, part: _Part, stop: Stop | None) -> None:
        """Check that two rows without steering give the baseline, else the blocks cannot run alone."""
        width, baseline = self.source_hidden.shape[-1], self.baseline[part.rows]
        with torch.no_grad():
            again = self._through(part, torch.zeros(2, width, device=self.source_hidden.device), stop)
        real = self.encoded.attention_mask[part.rows].bool().to(baseline.device)
        error = (again - baseline)[:, real].float().norm(dim=-1) / baseline[real].float().norm(dim=-1)
        allowed = 1e-3 if baseline.dtype in (torch.float32, torch.float64) else 0.05
        if not bool((error <= allowed).all()):
            blocks = f"blocks {self.source + 1} to {self.target} of {self.lm.name}"
            problem = f"{blocks} give other outputs when they run alone (relative error {float(error.max()):.2g})"
            raise InputError("model", problem, "This kind of model is not supported; choose another")

    def _calls_for(self, part: _Part, vectors: int) -> Calls:
        """The blocks' arguments for a batch of V·P rows, vectors outermost."""
        count, calls = part.tiled
        # blocks may write to these, which two passes must then not share
        written = any(isinstance(one, UserDict) for args, kwargs in part.calls for one in (*args, *kwargs.values()))
        if count != vectors or written:
            prompts = part.rows.stop - part.rows.start
            select = RowSelection(self.lm, prompts, torch.arange(prompts).repeat(vectors))
            calls = [(select(args), select(kwargs)) for args, kwargs in part.calls]
            part.tiled = (vectors, calls)
        return calls
