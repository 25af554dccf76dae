"""Soft orthogonality: known answers of the penalty on cosines."""

import pytest
import torch

from melbo_app.engine.methods.soft import cosine_penalty


def rows(count, width, seed=0):
    return torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_an_orthogonal_set_has_no_penalty_whatever_its_norms():
    basis = torch.linalg.qr(rows(12, 12))[0][:7] * (rows(7, 1, seed=1).abs() + 0.1)
    assert float(cosine_penalty(basis)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5, 32])
def test_identical_vectors_have_one_for_each_pair(count):
    same = rows(1, 9).expand(count, 9)
    assert float(cosine_penalty(same)) == pytest.approx(count * (count - 1) / 2)


def test_opposite_vectors_count_like_identical_ones():
    one = rows(1, 9)
    assert float(cosine_penalty(torch.cat([one, -3 * one]))) == pytest.approx(1)


def test_two_vectors_at_sixty_degrees():
    pair = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    assert float(cosine_penalty(pair)) == pytest.approx(0.25)


def test_gradients_equal_finite_differences():
    assert torch.autograd.gradcheck(cosine_penalty, (rows(4, 6).requires_grad_(),))


def test_the_gradient_pulls_along_the_vectors_alone_where_they_are_orthogonal():
    basis = torch.eye(4, dtype=torch.float64).requires_grad_()
    cosine_penalty(basis).backward()
    assert basis.grad.abs().max() == 0
