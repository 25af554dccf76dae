"""Vectors of one norm, at right angles."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.engine.orthogonal import polar, random_rows, tangent, without


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 16), st.integers(0, 1000), st.floats(1e-3, 1e4))
def test_polar_rows_are_orthogonal_and_of_one_norm(count, seed, radius):
    rows = polar(torch.randn(count, 16, generator=seeded(seed)), radius)
    gram = rows.double() @ rows.double().T / radius**2
    torch.testing.assert_close(gram, torch.eye(count, dtype=torch.float64), atol=1e-5, rtol=0)


def test_polar_leaves_orthogonal_rows_alone_and_treats_two_rows_alike():
    eye = 3 * torch.eye(4)[:2]
    torch.testing.assert_close(polar(eye, 3.0), eye)
    # two rows 60 degrees apart each give way by 15 degrees
    rows = torch.tensor([[1.0, 0], [0.5, 3**0.5 / 2]])
    cosines = (polar(rows, 1.0) * rows).sum(dim=1)
    assert cosines.tolist() == pytest.approx([0.9659258, 0.9659258], abs=1e-6)


def test_random_rows_have_the_norm_and_follow_the_generator():
    rows = random_rows(3, 16, 2.5, seeded(1))
    assert rows.norm(dim=1).tolist() == pytest.approx([2.5] * 3, rel=1e-6)
    assert torch.equal(rows, random_rows(3, 16, 2.5, seeded(1)))
    assert not torch.equal(rows, random_rows(3, 16, 2.5, seeded(2)))


def test_without_takes_away_what_points_along_the_others():
    others = 2 * torch.eye(4)[:2]
    rows = torch.tensor([[1.0, 2, 3, 4]])
    assert without(rows, others, 2.0).tolist() == [[0, 0, 3, 4]]
    assert torch.equal(without(rows, torch.zeros(0, 4), 2.0), rows)


def test_tangent_takes_away_what_changes_the_norm():
    rows, gradient = torch.tensor([[0.0, 5.0], [2.0, 0.0]]), torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    assert tangent(gradient, rows).tolist() == [[3, 0], [0, 4]]
