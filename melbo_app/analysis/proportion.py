"""Confidence intervals of proportions."""

import functools
import math
from collections.abc import Sequence

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@functools.cache
def interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The confidence interval of a proportion by Wilson's score (Wilson 1927), by default of 95 %; (0, 1) without
    trials."""
    if not trials:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(successes, trials).proportion_ci(confidence_level=level, method="wilson")
    return float(found.low), float(found.high)


def clustered(successes: Sequence[int], trials: int) -> tuple[float, float]:
    """The same for units of ``trials`` trials each, which are not independent; ``successes`` are those of each unit.

    Wilson's interval for as many independent trials as would scatter like the units' shares (the effective sample size,
    Korn & Graubard 1998): from one a unit, where units are all or nothing, to all of them. With one trial a unit, and
    where no or every trial succeeds, units count as one trial each.
    """
    units = len(successes)
    if trials == 1 or not units:
        return interval(sum(successes), units)
    share = sum(successes) / (units * trials)
    most = share * (1 - share)
    scatter = sum((one / trials - share) ** 2 for one in successes) / max(1, units - 1)
    effective = units if not most or units < 2 else units * min(trials, max(1.0, most / scatter if scatter else trials))
    centre, slack = share + Z**2 / (2 * effective), Z * math.sqrt(most / effective + Z**2 / (4 * effective**2))
    low, high = ((centre + side) / (1 + Z**2 / effective) for side in (-slack, slack))
    return max(0.0, low), min(1.0, high)
