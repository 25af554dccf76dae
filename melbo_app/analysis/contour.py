"""The contour of points on a plane."""

import numpy as np

CORNERS = 12


def contour(places: np.ndarray, margin: float) -> np.ndarray:
    """The corners [K, 2] of the convex hull of circles of radius ``margin`` around ``places`` [N, 2], in order."""
    from scipy.spatial import ConvexHull

    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    circle = margin * np.column_stack([np.cos(angles), np.sin(angles)])
    around = (np.asarray(places, dtype=np.float64)[:, None] + circle).reshape(-1, 2)
    return around[ConvexHull(around).vertices]
