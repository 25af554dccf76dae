"""How well scores tell anomalous examples from clean ones, with bootstrap intervals."""

import math
from typing import NamedTuple

import numpy as np

from melbo_app.analysis.auroc import auroc

DRAWS = 1_000
"""Bootstrap draws."""


class Measured(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def areas(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """AUROC of each column of scores [P, k] and [N, k]: [k]."""
    from scipy.stats import rankdata

    count = len(positives)
    ranks = rankdata(np.concatenate([positives, negatives]), axis=0)[:count].sum(axis=0)
    return (ranks - count * (count + 1) / 2) / (count * len(negatives))


def true_positives(positives: np.ndarray, negatives: np.ndarray, share: float) -> np.ndarray:
    """The largest share of positives [.., P] that a threshold finds which at most ``share`` of the negatives [.., N]
    reach."""
    allowed = math.floor(share * negatives.shape[-1] * (1 + 1e-12))
    if allowed >= negatives.shape[-1]:
        return np.ones(positives.shape[:-1])
    first = -np.partition(-negatives, allowed, axis=-1)[..., allowed]
    return (positives > first[..., None]).mean(axis=-1)


def detection(positives: np.ndarray, negatives: np.ndarray, share: float, seed: int) -> tuple[Measured, Measured]:
    """AUROC, and true positives at this share of false alarms, of two groups of scores.

    Intervals are percentiles of draws with replacement from each group (the same examples for the same seed). They have
    no width where the groups do not overlap: a bootstrap does not see what it did not draw.
    """
    random = np.random.default_rng(seed)
    mine = positives[random.integers(len(positives), size=(DRAWS, len(positives)))]
    others = negatives[random.integers(len(negatives), size=(DRAWS, len(negatives)))]
    drawn = areas(mine.T, others.T), true_positives(mine, others, share)
    found = auroc(positives.tolist(), negatives.tolist()), float(true_positives(positives, negatives, share))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=1)
    first, second = (
        Measured(value, float(least), float(most)) for value, least, most in zip(found, low, high, strict=True)
    )
    return first, second
