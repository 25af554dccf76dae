"""How unlike anything else the texts of a vector are."""

from collections.abc import Hashable, Sequence

import numpy as np


def unlikeness(points: np.ndarray, makers: Sequence[Hashable], prompts: Sequence[Hashable]) -> dict[Hashable, float]:
    """For each maker the mean over its texts of the cosine distance (1 − cos, 0 to 2) to the nearest text that another
    maker gave to the same prompt: the distance to the nearest neighbour, as outliers are scored by it (Ramaswamy et
    al. 2000, k = 1). The baseline and the random control are makers like all others; a maker's own texts at another R
    do not count.

    Args:
        points: embeddings [N, d], each of length 1.
        makers: which vector (or baseline, or control) made each text.
        prompts: which prompt each of them answers.

    Returns:
        A distance for each maker, 0 for one that has nothing to be compared with.
    """
    cosines = points.astype(np.float64) @ points.astype(np.float64).T
    who = [list(makers).index(maker) for maker in makers]
    asked = [list(prompts).index(prompt) for prompt in prompts]
    others = np.not_equal.outer(who, who) & np.equal.outer(asked, asked)
    nearest = np.where(others, cosines, -np.inf).max(axis=1, initial=-np.inf)
    distance = np.where(np.isfinite(nearest), np.maximum(1 - nearest, 0), 0)
    return {maker: float(np.mean(distance[[one == maker for one in makers]])) for maker in dict.fromkeys(makers)}
