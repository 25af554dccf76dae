"""Krippendorff's alpha: how far several people say the same of the same vectors, beyond what chance would give.

1: all agree; 0: as if they had guessed. Definition: K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
Vectors that fewer than two people describe do not count. Ratings are ordinal, computed by the package ``krippendorff``.
Tags are sets, compared by the distance MASI (R. Passonneau, Measuring Agreement on Set-valued Items, LREC 2006): a
vector counts once, however many tags there are, and sets that overlap agree in part. Each tag as present or absent
would count a vector once for each tag in use, and the many tags that nobody gave it would pass for agreement. The
package has no room for sets, of which there may be hundreds: its tables grow with their square for each vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Tags = frozenset[str]
OfVectors = Callable[[np.ndarray], float | None]
"""Alpha of vectors by their places, which may repeat; None where all say the same everywhere."""
DRAWS, FEWEST = 1000, 3
"""Draws of the interval, and the fewest vectors that they can be made from; of one alone alpha is 0 or nothing."""
LEAST_DEFINED = 0.9
"""Share of the draws in which anything differs; with fewer, their spread says nothing."""


@dataclass(frozen=True)
class Alpha:
    """``vectors``: how many were described by at least two people. ``interval``: the middle 95 % of alphas over vectors
    that are drawn at random, with replacement. Where either is None, ``why_not`` says why."""

    alpha: float | None
    interval: tuple[float, float] | None
    vectors: int
    why_not: str = ""


def of_ratings(said: Sequence[Sequence[int]]) -> Alpha:
    """Of ratings from 1 to 5; ``said`` has those of each vector."""
    paired = [one for one in said if len(one) > 1]
    counts = np.zeros((len(paired), 5), dtype=int)
    for row, ratings in zip(counts, paired, strict=True):
        np.add.at(row, np.array(ratings) - 1, 1)

    def of_vectors(places: np.ndarray) -> float | None:
        import krippendorff  # with the first agreement, not with the program

        drawn = counts[places]
        if np.count_nonzero(drawn.sum(axis=0)) < 2:
            return None
        return float(krippendorff.alpha(value_counts=drawn, level_of_measurement="ordinal"))

    return _alpha(len(paired), of_vectors, "rated", "all ratings are the same")


def of_tags(said: Sequence[Sequence[Tags]]) -> Alpha:
    """Of sets of tags, empty ones too; ``said`` has those of each vector."""
    paired = [one for one in said if len(one) > 1]
    values = sorted({tags for one in paired for tags in one}, key=sorted)
    place, distances = {tags: at for at, tags in enumerate(values)}, masi(values)
    counts = np.zeros((len(paired), len(values)), dtype=int)
    observed = np.zeros(len(paired))
    for at, one in enumerate(paired):
        own = [place[tags] for tags in one]
        np.add.at(counts[at], own, 1)
        observed[at] = distances[np.ix_(own, own)].sum() / (len(own) - 1)

    def of_vectors(places: np.ndarray) -> float | None:
        totals = counts[places].sum(axis=0)
        expected = totals @ distances @ totals / (totals.sum() - 1)
        return float(1 - observed[places].sum() / expected) if expected else None

    return _alpha(len(paired), of_vectors, "labelled", "all have the same tags")


def masi(sets: Sequence[Tags]) -> np.ndarray:
    """The distances between sets: 1 less the share of tags in common, which counts by two thirds where one set contains
    the other, and by a third where neither does."""
    tags = sorted({tag for one in sets for tag in one})
    has = np.array([[tag in one for tag in tags] for one in sets], dtype=float).reshape(len(sets), len(tags))
    common, sizes = has @ has.T, has.sum(axis=1)
    together = sizes[:, None] + sizes[None, :] - common
    share = np.divide(common, together, out=np.ones_like(common), where=together > 0)
    contained = common == np.minimum(sizes[:, None], sizes[None, :])
    return 1 - share * np.where(share == 1, 1, np.where(contained, 2 / 3, 1 / 3))


def _alpha(vectors: int, of_vectors: OfVectors, done: str, same: str) -> Alpha:
    if not vectors:
        return Alpha(None, None, 0, f"no vector was {done} by two people")
    if vectors == 1:
        return Alpha(None, None, 1, f"only one vector was {done} by two people")
    whole = of_vectors(np.arange(vectors))
    if whole is None:
        return Alpha(None, None, vectors, f"{same}, so that chance would agree as well")
    if vectors < FEWEST:
        return Alpha(whole, None, vectors, f"it needs {FEWEST} vectors that two people {done}")
    numbers = np.random.default_rng(0)
    drawn = [of_vectors(numbers.integers(0, vectors, vectors)) for _ in range(DRAWS)]
    defined = [one for one in drawn if one is not None]
    if len(defined) < LEAST_DEFINED * DRAWS:
        return Alpha(whole, None, vectors, "too few vectors differ")
    low, high = np.quantile(defined, [0.025, 0.975])
    return Alpha(whole, (float(low), float(high)), vectors)
