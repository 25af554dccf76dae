"""The smallest set of nodes that keeps a share of an effect, found greedily: nodes are added in an order, then those
that are not needed are taken out."""

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

Progress = TypeVar("Progress")
Keeping = Callable[[Sequence[frozenset[int]]], Generator[Progress, None, list[float]]]
"""Measures which share of the effect each of these sets keeps."""
TRIED = 16
"""Sets that are measured together."""


def smallest_set(
    order: Sequence[int], keep: float, keeping: Keeping[Progress]
) -> Generator[Progress, None, frozenset[int]]:
    """The beginning of ``order`` that keeps ``keep`` of the effect, without the nodes that it does not need.

    All of ``order`` must keep it. The result may be empty. It is a local minimum: no smaller set is known, and no
    single node of it can go.
    """
    found = yield from _beginning(order, keep, keeping)
    while found:
        members = sorted(found)
        without = [found - {one} for one in members]
        kept = yield from keeping(without)
        spare = [one for share, one in sorted(zip(kept, members, strict=True), reverse=True) if share >= keep]
        if not spare:
            break
        # the least needed first, and as many as can go together
        fewer = [found - set(spare[:count]) for count in range(1, len(spare) + 1)]
        smaller = found - {spare[0]}
        for start in range(0, len(fewer), TRIED):
            shares = yield from keeping(fewer[start : start + TRIED])
            enough = next((at for at, share in enumerate(shares) if share < keep), len(shares))
            if enough:
                smaller = fewer[start + enough - 1]
            if enough < len(shares):
                break
        found = smaller
    return found


def _beginning(
    order: Sequence[int], keep: float, keeping: Keeping[Progress]
) -> Generator[Progress, None, frozenset[int]]:
    """The shortest beginning found that keeps enough: a coarse grid of lengths, then finer ones."""
    low, high = -1, len(order)  # lengths that do not keep enough, and that do
    lengths = sorted({round(len(order) ** (at / (TRIED - 2))) for at in range(TRIED - 1)} | {0})
    while lengths:
        shares = yield from keeping([frozenset(order[:length]) for length in lengths])
        enough = next((length for length, share in zip(lengths, shares, strict=True) if share >= keep), high)
        low, high = max([low, *(one for one in lengths if one < enough)]), enough
        step = max(1, (high - low) // TRIED)
        lengths = list(range(low + 1, high, step))[:TRIED]
    return frozenset(order[:high])
