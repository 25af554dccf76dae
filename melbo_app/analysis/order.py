"""An order in which similar vectors are neighbours, and the tree behind it."""

from dataclasses import dataclass

import numpy as np

MOST_LINES = 300
"""Vectors whose tree has lines: more could not be seen, and scipy draws them by recursion."""
Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Tree:
    """How vectors join into groups: ``order`` has the leaves.

    Each of ``lines`` joins two branches by four corners (place among the leaves, counted from 0, and height). More than
    ``MOST_LINES`` vectors have none.
    """

    order: list[int]
    lines: list[Line]


def ward_tree(cosines: np.ndarray) -> Tree:
    """The tree of the vectors 0 … V−1 whose cosines are ``cosines`` [V, V], similar ones next to each other.

    Ward's method (1963, by scipy) on the distances √(2 − 2 cos) of unit vectors, with the leaves ordered so that
    neighbours are as close as the tree allows (Bar-Joseph et al. 2001). Raises ``ValueError`` for a matrix that is not
    square or not finite.
    """
    from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage
    from scipy.spatial.distance import squareform

    cosines = np.asarray(cosines, dtype=np.float64)
    if cosines.ndim != 2 or cosines.shape[0] != cosines.shape[1]:
        raise ValueError(f"cosines must be a square matrix, not of shape {cosines.shape}")
    if not np.isfinite(cosines).all():
        raise ValueError("cosines must be finite")
    if len(cosines) < 2:
        return Tree(list(range(len(cosines))), [])
    distance = np.sqrt(2 - 2 * np.clip((cosines + cosines.T) / 2, -1, 1))
    np.fill_diagonal(distance, 0)
    joined = linkage(squareform(distance, checks=False), method="ward", optimal_ordering=True)
    order, last = [int(leaf) for leaf in leaves_list(joined)], len(cosines) - 1
    lines: list[Line] = []
    if len(cosines) <= MOST_LINES:
        drawn = dendrogram(joined, no_plot=True)
        # scipy's leaves are at 5, 15, 25 …
        lines = [
            [((x - 5) / 10, float(y)) for x, y in zip(xs, ys, strict=True)]
            for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True)
        ]
    if order[0] > order[-1]:  # an order and its reverse are equally good: take the one that starts with the lower index
        order = order[::-1]
        lines = [[(last - x, y) for x, y in line] for line in lines]
    return Tree(order, lines)
