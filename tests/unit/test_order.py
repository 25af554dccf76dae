import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melbo_app.analysis.order import clustered_order


def cosines_of(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6))
def test_members_of_a_planted_block_are_neighbours(seed, blocks, size):
    generator = np.random.default_rng(seed)
    block = generator.permutation(np.repeat(np.arange(blocks), size))
    order = clustered_order(cosines_of(np.eye(blocks, 40)[block] + 0.02 * generator.normal(size=(len(block), 40))))
    changes = np.count_nonzero(np.diff(block[order]))
    assert changes == blocks - 1


def test_a_shuffled_fan_of_directions_is_put_back_in_order():
    angles = np.array([40.0, 0.0, 75.0, 20.0, 60.0, 10.0])
    rows = np.column_stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    order = clustered_order(cosines_of(rows))
    assert angles[order].tolist() in ([0, 10, 20, 40, 60, 75], [75, 60, 40, 20, 10, 0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_order_is_a_permutation_and_always_the_same(seed, count):
    matrix = np.random.default_rng(seed).uniform(-1, 1, size=(count, count))
    order = clustered_order((matrix + matrix.T) / 2)
    assert sorted(order) == list(range(count))
    assert all(type(place) is int for place in order)
    assert order == clustered_order((matrix + matrix.T) / 2)
    assert count < 2 or order[0] < order[-1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_vectors_stay_as_they_are(count):
    assert clustered_order(np.eye(count)) == list(range(count))


def test_cosines_slightly_above_one_are_taken_as_one():
    assert sorted(clustered_order(np.full((4, 4), 1 + 1e-6))) == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    matrix = np.eye(4)
    matrix[1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        clustered_order(matrix)


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        clustered_order(np.zeros((3, 4)))
