"""How unlike all other texts a vector's texts are."""

from collections.abc import Hashable, Sequence

import numpy as np


def unlikeness(points: np.ndarray, makers: Sequence[Hashable], prompts: Sequence[Hashable]) -> dict[Hashable, float]:
    """For each maker, the mean over its texts of the cosine distance (1 − cos, 0 to 2) to the nearest text by another
    maker for the same prompt: the nearest-neighbour outlier score (Ramaswamy et al. 2000, k = 1). The baseline and the
    random control are makers too; a maker's own texts at another R do not count.

    Args:
        points: embeddings [N, d], each of length 1.
        makers: the vector, baseline or control of each text.
        prompts: the prompt of each text.

    Returns:
        A distance for each maker, 0 for one without a text to compare with.
    """
    cosines = points.astype(np.float64) @ points.astype(np.float64).T
    who = [list(makers).index(maker) for maker in makers]
    asked = [list(prompts).index(prompt) for prompt in prompts]
    others = np.not_equal.outer(who, who) & np.equal.outer(asked, asked)
    nearest = np.where(others, cosines, -np.inf).max(axis=1, initial=-np.inf)
    distance = np.where(np.isfinite(nearest), np.maximum(1 - nearest, 0), 0)
    return {maker: float(np.mean(distance[[one == maker for one in makers]])) for maker in dict.fromkeys(makers)}
