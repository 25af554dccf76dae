"""Which answers say the same: clusters of their sentence embeddings."""

from collections.abc import Sequence

import numpy as np

LEAST_DISTANCE = 0.1
"""Cosine distance below which two answers always count as the same: another wording of one sentence is farther."""


def same_meaning(control: Sequence[float]) -> float:
    """Cosine distance up to which two answers to one prompt count as the same: the upper quartile of the distances of
    random vectors' answers from the unsteered one, ``LEAST_DISTANCE`` at least (docs/explore.md)."""
    return max(LEAST_DISTANCE, float(np.quantile(control, 0.75))) if len(control) else LEAST_DISTANCE


def clusters(places: np.ndarray, threshold: float) -> list[int]:
    """The cluster of each row of ``places`` [N, D], numbered in the order in which they come up.

    Rows are joined from the bottom up as long as the mean cosine distance between two clusters is below ``threshold``
    (average linkage, Sokal & Michener 1958, by scikit-learn).
    """
    if len(places) < 2:
        return [0] * len(places)
    from sklearn.cluster import AgglomerativeClustering  # takes a second to import

    work = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=threshold
    ).fit(np.asarray(places, dtype=np.float64))
    numbers = {label: number for number, label in enumerate(dict.fromkeys(work.labels_.tolist()))}
    return [numbers[label] for label in work.labels_.tolist()]


def nearest_to_centre(places: np.ndarray, members: Sequence[int]) -> int:
    """The member whose row is nearest to the mean of all members' rows of ``places`` [N, D]; of equals the first."""
    rows = np.asarray(places, dtype=np.float64)[list(members)]
    return members[int(np.argmax(rows @ rows.mean(axis=0)))]


def distances(places: np.ndarray, place: np.ndarray) -> list[float]:
    """Cosine distance 1 − cos, 0 to 2, of each row of ``places`` [N, D] from ``place`` [D]; all of length 1."""
    found = 1 - np.asarray(places, dtype=np.float64) @ np.asarray(place, dtype=np.float64)
    return [max(0.0, float(one)) for one in found]
