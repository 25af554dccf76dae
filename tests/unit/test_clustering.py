"""Clusters of answers whose places are planted."""

import numpy as np
import pytest

from melbo_app.analysis.clustering import clusters, distances, nearest_to_centre

AXES = np.eye(8)


def around(axis: int, count: int, spread: float = 0.2) -> np.ndarray:
    """Rows of length 1 around an axis."""
    rows = AXES[axis] + spread * np.random.default_rng(axis).normal(size=(count, 8)) / np.sqrt(8)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_planted_groups_are_found_and_numbered_as_they_come_up():
    places = np.concatenate([around(3, 2), around(0, 3), around(3, 1), around(5, 1)])
    assert clusters(places, 0.4) == [0, 0, 1, 1, 1, 0, 2]


def test_the_threshold_says_what_is_the_same():
    near = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])  # 0.2 and 0.4 apart, and 1
    assert clusters(near, 0.1) == [0, 1, 2]
    assert clusters(near, 0.3) == [0, 0, 1]
    assert clusters(near, 0.8) == [0, 0, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_answers_are_a_cluster_each(count):
    assert clusters(around(1, 2)[:count], 0.4) == [0] * count


def test_the_representative_is_in_the_middle():
    places = np.array([[0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    assert nearest_to_centre(places, [1, 2, 3]) == 2
    assert nearest_to_centre(places, [3]) == 3


def test_distances_are_those_of_cosines():
    assert distances(np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]), AXES[0, :2]) == pytest.approx([0, 0.4, 2])
