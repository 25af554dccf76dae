"""Clusters of texts that say similar things, found in their embeddings and named by their distinctive words."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.clustering import nearest_to_centre
from melbo_app.analysis.distinctive import distinctive_words

LEAST = 3
"""Texts in a cluster at least; half the root of their number where there are many."""
CLOSEST = 0.1
"""Nearer texts count as this far apart (cosine distance), as rewordings are: else the copies of one text would be a
cluster of their own inside that of its rewordings."""
WORDS = 3
OPENING = 5
"""Words quoted where no word distinguishes a cluster."""


@dataclass(frozen=True)
class TextCluster:
    """A cluster of ``size`` texts; ``name`` is its distinctive words, or the first words of its central text."""

    name: str
    size: int


def text_clusters(rows: np.ndarray, texts: Sequence[str]) -> tuple[list[int | None], list[TextCluster]]:
    """The cluster of each text, None for those in none, and the clusters, the largest first.

    HDBSCAN (Campello et al. 2013, by scikit-learn) on cosine distances of the unit ``rows`` [N, D]. Nothing in it is
    random: the same texts in the same order give the same clusters.
    """
    rows = np.asarray(rows, dtype=np.float64)
    numbers = _numbers(rows)
    count = 1 + max((number for number in numbers if number is not None), default=-1)
    members = [[at for at, own in enumerate(numbers) if own == number] for number in [*range(count), None]]
    words = distinctive_words([[texts[at] for at in group] for group in members])[:count]
    names = [
        ", ".join(one[:WORDS]) or _opening(texts[nearest_to_centre(rows, group)])
        for one, group in zip(words, members, strict=False)
    ]
    return numbers, [TextCluster(name, len(group)) for name, group in zip(names, members, strict=False)]


def _opening(text: str) -> str:
    words = text.split()
    return f"“{' '.join(words[:OPENING])}{'…' * (len(words) > OPENING)}”"


def _numbers(rows: np.ndarray) -> list[int | None]:
    """The cluster of each row: numbered by size, then in order of appearance."""
    least = max(LEAST, math.isqrt(len(rows)) // 2)
    if len(rows) < 2 * least:
        return [None] * len(rows)
    from sklearn.cluster import HDBSCAN  # takes a second to import

    distances = np.maximum(1 - rows @ rows.T, CLOSEST)
    np.fill_diagonal(distances, 0)
    found = HDBSCAN(min_cluster_size=least, min_samples=2, metric="precomputed", copy=False).fit_predict(distances)
    sizes = Counter(label for label in found.tolist() if label >= 0)
    number = {label: at for at, (label, _) in enumerate(sizes.most_common())}
    return [number.get(label) for label in found.tolist()]
