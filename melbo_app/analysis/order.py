"""An order in which similar vectors are neighbours."""

import numpy as np


def clustered_order(cosines: np.ndarray) -> list[int]:
    """Indices 0 … V−1, ordered so that vectors of similar direction are neighbours.

    Average linkage on 1 − cos for the symmetric matrix ``cosines`` [V, V], with the leaves ordered so that neighbours
    are as close as the tree allows (Bar-Joseph et al. 2001). Raises ``ValueError`` for a matrix that is not square or
    not finite.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    cosines = np.asarray(cosines, dtype=np.float64)
    if cosines.ndim != 2 or cosines.shape[0] != cosines.shape[1]:
        raise ValueError(f"cosines must be a square matrix, not of shape {cosines.shape}")
    if not np.isfinite(cosines).all():
        raise ValueError("cosines must be finite")
    if len(cosines) < 3:
        return list(range(len(cosines)))
    distance = 1 - np.clip((cosines + cosines.T) / 2, -1, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    order = [int(leaf) for leaf in leaves_list(tree)]
    # an order and its reverse are equally good: take the one that starts with the lower index
    return order if order[0] < order[-1] else order[::-1]
