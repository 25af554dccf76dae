"""Estimates with intervals, and the interval of their difference."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from melbo_app.analysis.proportion import interval

DRAWS = 2_000


class Estimate(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether all three are finite."""
        return all(map(math.isfinite, self))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """``one`` − ``other`` for independent estimates, by adding the squared distances to their bounds.

    For proportions with Wilson's intervals this is method 10 of Newcombe (1998); for others it is MOVER (Zou & Donner
    2008).
    """
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    return Estimate(value, low, value + math.hypot(one.high - one.value, other.value - other.low))


def one_of(count: int, n: int, several: int) -> Estimate:
    """A proportion with Wilson's interval, wide enough that all of ``several`` hold together at 95 % (Bonferroni)."""
    return Estimate(count / n, *interval(count, n, 1 - 0.05 / several))


def mean_of(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean, and its 95 % percentile interval over bootstrap draws of the values."""
    every = np.asarray(values, dtype=float)
    if not len(every):
        return Estimate(0.0, math.nan, math.nan)
    rows = np.random.default_rng(seed).integers(len(every), size=(DRAWS, len(every)))
    low, high = np.quantile(every[rows].mean(axis=1), [0.025, 0.975])
    return Estimate(float(every.mean()), float(low), float(high))
