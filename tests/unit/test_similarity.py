"""Cosines of vectors and of what they change."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import encoded, random_thetas, reference_hidden, tiny

from melbo_app.engine.scope import TokenScope
from melbo_app.engine.similarity import cosines, delta_cosines, mean_off_diagonal
from melbo_app.engine.slice import ModelSlice
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath is wide", "hello")


def finished(*arguments):
    """The matrix that the work on it ends in."""
    return result_of(delta_cosines(*arguments))


def test_known_cosines():
    rows = torch.tensor([[1.0, 0], [3, 3], [0, -2], [0, 0]])
    half = 2**-0.5
    want = torch.tensor([[1, half, 0, 0], [half, 1, -half, 0], [0, -half, 1, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(cosines(rows), want, atol=1e-6, rtol=0)


@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_cosines_stay_within_one_whatever_the_norms(seed, factor):
    rows = factor * torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))
    rows[3] = rows[2]
    matrix = cosines(rows)
    assert matrix.abs().max() <= 1
    assert torch.equal(matrix, matrix.T)
    assert float(matrix[2, 3]) == pytest.approx(1, abs=1e-6)
    assert matrix.diagonal().tolist() == pytest.approx([1] * 5, abs=1e-6)


@pytest.mark.parametrize("scope", ["all", "content", "last:2"])
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_delta_cosines_equal_numpy_on_deltas_of_the_whole_model(scope, batch, monkeypatch):
    monkeypatch.setattr(ModelSlice, "vectors_per_pass", batch)
    lm = tiny("llama")
    thetas = random_thetas(4)
    matrix = finished(ModelSlice(lm, encoded(lm, *TEXTS), 0, 2), thetas, TokenScope.parse(scope))
    count = {"all": None, "content": None, "last:2": -2}[scope]
    rows = []
    for theta in thetas:
        parts = [
            reference_hidden(lm, "llama", text, 0, theta)[2] - reference_hidden(lm, "llama", text, 0, None)[2]
            for text in TEXTS
        ]
        rows.append(np.concatenate([part[count:].numpy().ravel() for part in parts]).astype(np.float64))
    flat = np.stack(rows)
    norms = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(matrix.numpy(), flat @ flat.T / np.outer(norms, norms), atol=1e-4)
    off = matrix[~torch.eye(4, dtype=torch.bool)]
    assert off.abs().max() < 0.95


def test_the_scope_matters():
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    one, other = (finished(piece, random_thetas(4), TokenScope.parse(scope)) for scope in ("all", "last:1"))
    assert (one - other).abs().max() > 0.01


def test_duplicates_have_cosine_one_and_a_zero_vector_none():
    lm = tiny("gpt2")
    thetas = torch.cat([random_thetas(2), random_thetas(1), torch.zeros(1, 32)])
    assert torch.equal(thetas[0], thetas[2])
    matrix = finished(ModelSlice(lm, encoded(lm, *TEXTS), 0, 2), thetas, TokenScope.parse("all"))
    assert float(matrix[0, 2]) == pytest.approx(1, abs=1e-5)
    assert float(matrix[0, 1]) < 0.99
    assert torch.equal(matrix[3], torch.zeros(4))


def test_mean_off_diagonal():
    matrix = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1, -0.2], [0.0, -0.2, 1]])
    assert mean_off_diagonal(matrix) == pytest.approx(0.1, abs=1e-6)
    assert mean_off_diagonal(torch.ones(1, 1)) is None
