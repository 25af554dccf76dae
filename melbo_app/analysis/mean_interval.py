"""Intervals of means, by the bootstrap."""

from collections.abc import Sequence

import numpy as np

DRAWS = 2_000


def mean_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """The mean of some values, and its 95 % interval: percentiles of the means of draws with replacement."""
    found = np.asarray(values, dtype=float)
    drawn = found[np.random.default_rng(seed).integers(len(found), size=(DRAWS, len(found)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(found.mean()), float(low), float(high)
