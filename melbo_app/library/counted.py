"""Counts with their intervals."""

from collections.abc import Sequence
from typing import Self

from melbo_app.analysis.proportion import interval
from melbo_app.library.facts import Count, Share
from melbo_app.library.frozen import Frozen


class Counted(Frozen):
    """How many of ``n``, and Wilson's 95 % interval of the share."""

    count: Count
    n: Count
    low: Share
    high: Share

    @classmethod
    def some(cls, count: int, n: int) -> Self:
        """With the interval."""
        low, high = interval(count, n)
        return cls(count=count, n=n, low=low, high=high)

    @classmethod
    def of(cls, found: Sequence[bool]) -> Self:
        """How many of these are true."""
        return cls.some(sum(found), len(found))

    @property
    def share(self) -> float:
        """From 0 to 1; 0 of nothing is 0."""
        return self.count / self.n if self.n else 0.0

    def __str__(self) -> str:
        return f"{self.count} of {self.n} ({100 * self.low:.0f} to {100 * self.high:.0f} %)"
