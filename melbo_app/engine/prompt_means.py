"""Prompts as one point each: their mean activation at a block, and how surprising the model finds their tokens."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.agreement import prompt_changes
from melbo_app.engine.block import hidden_of
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.likelihood import LOGITS_AT_ONCE
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.readout import read_out
from melbo_app.engine.reference import usual_norms
from melbo_app.engine.scope import TokenScope, sinks
from melbo_app.engine.slice import TOKENS_AT_ONCE, ModelSlice
from melbo_app.engine.stopping import Stop, asking, raise_if


@dataclass(frozen=True)
class PromptMeans:
    """``activations`` [P, d], the mean over the tokens in scope, and ``surprisal`` [P] in nats a token, in float64."""

    activations: np.ndarray
    surprisal: np.ndarray


@dataclass(frozen=True)
class PromptPoints:
    """Reads prompts as points: the mean output of block ``target`` over the tokens in ``scope``.

    Attributes:
        source: sinks are those of this block or of the target's, as in a slice.
        beginning: tokens at the start of every prompt whose surprisal does not count, such as the template's.
    """

    lm: LanguageModel
    source: int
    target: int
    scope: TokenScope
    beginning: int = 0

    def read(self, encoded: EncodedPrompts, stop: Stop | None = None) -> Generator[int, None, PromptMeans]:
        """The points of P prompts, in batches of some 2,000 tokens; yields the number of prompts done after each.

        Raises:
            InputError: a prompt has no token in scope.
            Stopped: ``stop()``, which is called before every block, became true.
        """
        if self.scope.kind != "content":
            self.scope.mask(encoded)  # an error has the number that the prompt has among all
        means, surprisals = [], []
        for batch in _batches(encoded):
            raise_if(stop)
            mean, surprisal = self._read(batch, stop)
            means.append(mean)
            surprisals.append(surprisal)
            yield sum(map(len, surprisals))
        return PromptMeans(np.concatenate(means), np.concatenate(surprisals))

    def _read(self, encoded: EncodedPrompts, stop: Stop | None) -> tuple[np.ndarray, np.ndarray]:
        lm, last = self.lm, len(self.lm.blocks) - 1
        seen: dict[int, Tensor] = {}

        def keep(block: int) -> Any:
            return lambda _module, _args, output: seen.update({block: hidden_of(output).detach()})

        with torch.no_grad(), asking(lm, stop), ExitStack() as hooks:
            for block in {self.source, self.target, last}:
                hooks.callback(lm.block("layer", block).register_forward_hook(keep(block)).remove)
            lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids)
        outliers = None
        if self.scope.kind == "content":
            usual = usual_norms(lm)
            found = [sinks(seen[one].float().norm(dim=-1), encoded, usual[one]) for one in (self.source, self.target)]
            outliers = found[0] | found[1]
        mask = self.scope.mask(encoded, outliers).to(seen[self.target].device)
        rows = zip(seen[self.target], mask, strict=True)
        mean = np.stack([row[counts].float().mean(dim=0).cpu().numpy() for row, counts in rows])
        return mean.astype(np.float64), self._surprisal(encoded, seen[last])

    def _surprisal(self, encoded: EncodedPrompts, states: Tensor) -> np.ndarray:
        """Mean −log p of each prompt's own tokens, 0 for a prompt of one token."""
        later = encoded.attention_mask.bool() & (encoded.position_ids > 0)
        own = later & ~encoded.tail & (encoded.position_ids >= self.beginning)
        counted = torch.where(own.any(dim=1, keepdim=True), own, later)
        row, column = counted.nonzero(as_tuple=True)
        if not len(row):
            return np.zeros(len(counted))
        before, tokens = states[row.to(states.device), (column - 1).to(states.device)], encoded.input_ids[row, column]
        size = max(1, LOGITS_AT_ONCE // self.lm.known_ids)
        logprob = []
        for part, ids in zip(before.split(size), tokens.split(size), strict=True):
            logits = read_out(self.lm, part)
            chosen = logits.gather(1, ids.to(logits.device)[:, None])[:, 0]
            logprob.append((chosen - logits.logsumexp(dim=1)).cpu())
        sums = np.bincount(row.cpu(), -torch.cat(logprob).double().numpy(), len(counted))
        return sums / counted.sum(dim=1).clamp(min=1).cpu().numpy()


def common_beginning(encoded: EncodedPrompts) -> int:
    """How many tokens all prompts begin with: mostly those that the chat template has before the text."""
    rows = [ids[real.bool()] for ids, real in zip(encoded.input_ids, encoded.attention_mask, strict=True)]
    heads = torch.stack([row[: min(map(len, rows))] for row in rows])
    return int((heads == heads[0]).all(dim=0).long().cumprod(dim=0).sum())


def mean_deltas(
    piece: ModelSlice, thetas: np.ndarray, scope: TokenScope, stop: Stop | None = None
) -> Generator[int, None, np.ndarray]:
    """Mean Δ(θ) of V vectors over the tokens in scope of each prompt, and over the prompts: [V, d] float64.

    Yields the number of vectors done. Raises Stopped if ``stop()``, which is called before every block, becomes true.
    """
    mask, found = piece.mask(scope), []
    for part in torch.tensor(thetas).to(piece.device).split(piece.vectors_per_pass):
        with torch.no_grad():
            scoped = piece.deltas(part, stop)[:, mask]
        found.append(prompt_changes(scoped, mask).mean(dim=1).cpu().double().numpy())
        yield sum(map(len, found))
    return np.concatenate(found)


def _batches(encoded: EncodedPrompts) -> Iterator[EncodedPrompts]:
    """The prompts in order, in batches without padding that all of a batch have."""
    lengths = encoded.attention_mask.sum(dim=1).tolist()
    rows: list[int] = []
    for row, length in enumerate(lengths):
        if rows and (len(rows) + 1) * max(length, *(lengths[one] for one in rows)) > TOKENS_AT_ONCE:
            yield _trimmed(encoded.take(rows), max(lengths[one] for one in rows))
            rows = []
        rows.append(row)
    yield _trimmed(encoded.take(rows), max(lengths[one] for one in rows))


def _trimmed(some: EncodedPrompts, longest: int) -> EncodedPrompts:
    columns = (some.input_ids[:, -longest:], some.attention_mask[:, -longest:], some.tail[:, -longest:])
    return EncodedPrompts(some.prompts, some.texts, *columns)
