"""Clusters of answers with the same meaning, by their sentence embeddings."""

from collections.abc import Sequence

import numpy as np

LEAST_DISTANCE, MOST_DISTANCE = 0.1, 0.35
"""Bounds on the cosine distance up to which two answers count as the same. Rewordings of one sentence are farther apart
than the first; at the second, readers begin to see another answer (docs/explore.md)."""


def same_meaning(control: Sequence[float], least: float = LEAST_DISTANCE, most: float = MOST_DISTANCE) -> float:
    """Cosine distance up to which two answers to a prompt count as the same: the upper quartile of the distances
    between random vectors' answers and the unsteered one, clipped to ``least`` … ``most``."""
    return float(np.clip(scatter(control), least, most))


def scatter(control: Sequence[float]) -> float:
    """The upper quartile of ``control``; 0 if it is empty."""
    return float(np.quantile(control, 0.75)) if len(control) else 0.0


def clusters(places: np.ndarray, threshold: float | np.ndarray) -> list[int]:
    """The cluster of each row of ``places`` [N, D], numbered in order of appearance.

    Agglomerative clustering joins clusters while the mean cosine distance between two, as a share of ``threshold``, is
    below 1 (average linkage, Sokal & Michener 1958, by scikit-learn). A ``threshold`` [N, N] sets one for each pair;
    pairs with 0 never share a cluster.
    """
    if len(places) < 2:
        return [0] * len(places)
    from sklearn.cluster import AgglomerativeClustering  # takes a second to import

    rows = np.asarray(places, dtype=np.float64)
    limits = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (len(rows), len(rows)))
    apart = limits <= 0
    share = np.maximum(0, 1 - rows @ rows.T) / np.where(apart, 1, limits)
    share[apart] = 4.0 * len(rows) ** 2  # so far that no mean with this pair is below 1
    np.fill_diagonal(share, 0)
    joining = AgglomerativeClustering(n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1.0)
    labels = joining.fit_predict(share).tolist()
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [numbers[label] for label in labels]


def nearest_to_centre(places: np.ndarray, members: Sequence[int]) -> int:
    """The member whose row of ``places`` [N, D] is nearest to the members' mean; the first of equals."""
    rows = np.asarray(places, dtype=np.float64)[list(members)]
    return members[int(np.argmax(rows @ rows.mean(axis=0)))]


def distances(places: np.ndarray, place: np.ndarray) -> list[float]:
    """Cosine distance 1 − cos, 0 to 2, between each row of ``places`` [N, D] and ``place`` [D], all of length 1."""
    found = 1 - np.asarray(places, dtype=np.float64) @ np.asarray(place, dtype=np.float64)
    return [max(0.0, float(one)) for one in found]
