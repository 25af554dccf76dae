import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melbo_app.analysis.order import MOST_LINES, ward_tree


def cosines_of(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6))
def test_members_of_a_planted_block_are_neighbours(seed, blocks, size):
    generator = np.random.default_rng(seed)
    block = generator.permutation(np.repeat(np.arange(blocks), size))
    order = ward_tree(cosines_of(np.eye(blocks, 40)[block] + 0.02 * generator.normal(size=(len(block), 40)))).order
    changes = np.count_nonzero(np.diff(block[order]))
    assert changes == blocks - 1


def test_a_shuffled_fan_of_directions_is_put_back_in_order():
    angles = np.array([40.0, 0.0, 75.0, 20.0, 60.0, 10.0])
    rows = np.column_stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    order = ward_tree(cosines_of(rows)).order
    assert angles[order].tolist() in ([0, 10, 20, 40, 60, 75], [75, 60, 40, 20, 10, 0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_order_is_a_permutation_and_always_the_same(seed, count):
    matrix = np.random.default_rng(seed).uniform(-1, 1, size=(count, count))
    order = ward_tree((matrix + matrix.T) / 2).order
    assert sorted(order) == list(range(count))
    assert all(type(place) is int for place in order)
    assert order == ward_tree((matrix + matrix.T) / 2).order
    assert count < 2 or order[0] < order[-1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_vectors_stay_as_they_are(count):
    assert ward_tree(np.eye(count)).order == list(range(count))


def test_cosines_slightly_above_one_are_taken_as_one():
    assert sorted(ward_tree(np.full((4, 4), 1 + 1e-6)).order) == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    matrix = np.eye(4)
    matrix[1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        ward_tree(matrix)


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        ward_tree(np.zeros((3, 4)))


def test_the_tree_joins_the_most_similar_first_at_their_distance():
    rows = np.array([[1.0, 0, 0], [0, 1, 0], [0.96, 0.28, 0], [0, 0, 1]])
    tree = ward_tree(rows @ rows.T)
    heights = [line[1][1] for line in tree.lines]
    assert heights == sorted(heights) and len(heights) == 3
    assert heights[0] == pytest.approx(np.sqrt(2 - 2 * 0.96))
    ends = {tree.order[round(x)] for x, y in tree.lines[0] if y == 0}
    assert ends == {0, 2}


def test_each_leaf_of_the_tree_stands_over_its_vector_once():
    matrix = cosines_of(np.random.default_rng(3).normal(size=(9, 5)))
    tree = ward_tree(matrix)
    assert sorted(x for line in tree.lines for x, y in line if y == 0) == list(range(9))


def test_more_vectors_than_a_tree_can_show_have_an_order_alone():
    tree = ward_tree(np.eye(MOST_LINES + 1))
    assert sorted(tree.order) == list(range(MOST_LINES + 1)) and tree.lines == []
