"""Greedy coordinate gradient: a search for tokens that bring a loss down (Zou et al. 2023, arXiv 2307.15043).

At each step the gradient with respect to the one-hot vectors of the tokens names the most promising replacements at
each position; a batch of random single replacements of these is evaluated exactly, and the best one is kept if it is
better.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from melbo_app.engine.stopping import Stop, raise_if

TRIES = 40
"""Random strings that are drawn for one that keeps its tokens."""


class Loss(Protocol):
    """What a search brings down."""

    def exact(self, ids: Tensor, stop: Stop | None = None) -> Tensor:
        """The losses [C] of C strings [C, n]."""

    def gradient(self, ids: Tensor, stop: Stop | None = None) -> tuple[float, Tensor]:
        """The loss of one string [n], and its gradient with respect to its one-hot vectors [n, V]."""


@dataclass(frozen=True)
class Found:
    """Where a search stands: the best tokens [n], their loss and that of the start, the steps done."""

    ids: tuple[int, ...]
    loss: float
    start: float
    step: int


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a string may have [A] int64, in ascending order, and which strings [C, n] keep their tokens when
    they are read back: [C] bool."""

    allowed: Tensor
    keeps: Callable[[Tensor], Tensor]

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Random strings of allowed tokens that keep their tokens: [at most count, length]."""
        found = torch.empty(0, length, dtype=torch.int64)
        for _ in range(TRIES):
            if len(found) >= count:
                break
            drawn = self.allowed[torch.randint(len(self.allowed), (4 * count, length), generator=generator)]
            found = torch.cat([found, drawn[self.keeps(drawn)]])
        return found[:count]


def search(
    loss: Loss,
    words: Vocabulary,
    start: Tensor,
    *,
    steps: int,
    candidates: int,
    top: int,
    generator: torch.Generator,
    stop: Stop | None = None,
) -> Generator[Found, None, Found]:
    """Bring the loss of a string [n] down; yields where it stands after each step. The loss never rises.

    Args:
        candidates: strings that are evaluated in each step at most; those that do not keep their tokens are left out.
        top: replacements that the gradient may propose at each position.

    Raises:
        Stopped: ``stop()`` became true.
    """
    ids, slope, first = start.clone(), None, None
    best = float("inf")
    for step in range(1, steps + 1):
        raise_if(stop)
        if slope is None:
            _, slope = loss.gradient(ids, stop)
            if first is None:
                first = best = float(loss.exact(ids[None], stop)[0])
        proposed = swaps(ids, slope, words, candidates, top, generator)
        if len(proposed):
            losses = loss.exact(proposed, stop)
            at = int(losses.argmin())
            if float(losses[at]) < best:
                ids, best, slope = proposed[at], float(losses[at]), None
        assert first is not None
        yield Found(tuple(ids.tolist()), best, first, step)
    assert first is not None
    return Found(tuple(ids.tolist()), best, first, steps)


def swaps(
    ids: Tensor, slope: Tensor, words: Vocabulary, candidates: int, top: int, generator: torch.Generator
) -> Tensor:
    """Different strings that differ from ``ids`` [n] in one token, which the gradient ``slope`` [n, V] puts among the
    ``top`` at its position, and that keep their tokens: [at most candidates, n]."""
    n = len(ids)
    promising = (-slope[:, words.allowed]).topk(min(top, len(words.allowed)), dim=1).indices
    order = torch.randperm(n * promising.shape[1], generator=generator)
    proposed = []
    chosen = torch.empty(0, n, dtype=torch.int64)
    for begin in range(0, len(order), candidates):
        some = order[begin : begin + candidates]
        position, place = some // promising.shape[1], some % promising.shape[1]
        token = words.allowed[promising[position, place]]
        fresh = token != ids[position]
        rows = ids.repeat(int(fresh.sum()), 1)
        rows[torch.arange(len(rows)), position[fresh]] = token[fresh]
        if len(rows):
            proposed.append(rows[words.keeps(rows)])
            chosen = torch.cat(proposed)
        if len(chosen) >= candidates:
            break
    return chosen[:candidates]


def seeded(seed: int) -> torch.Generator:
    """The random numbers of a search."""
    return torch.Generator().manual_seed(seed)


def token_ids(ids: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
    """Tokens as a tensor, int64."""
    return torch.tensor(ids, dtype=torch.int64)


def of_equal_length(rows: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """The numbers of these rows by their length."""
    found: dict[int, list[int]] = {}
    for at, row in enumerate(rows):
        found.setdefault(len(row), []).append(at)
    return found
