"""The objective: known answers, and gradients against finite differences."""

import math

import pytest
import torch
from tiny_models import encoded, random_thetas, tiny

from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.slice import ModelSlice

# one vector, two prompts of three tokens, d = 2; the norms are 5, 13, 1 and 10, 17, 2
DELTAS = torch.tensor([[[[3.0, 4], [5, 12], [0, 1]], [[6, 8], [8, 15], [2, 0]]]])
ALL = torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (2, 2, math.sqrt(25 + 169 + 1) + math.sqrt(100 + 289 + 4)),
        (1, 1, 5 + 13 + 1 + 10 + 17 + 2),
        (2, 1, 25 + 169 + 1 + 100 + 289 + 4),
        (1, 2, math.sqrt(19) + math.sqrt(29)),
        (4, 2, math.sqrt(625 + 28561 + 1) + math.sqrt(10000 + 83521 + 16)),
        (3, 3, (125 + 2197 + 1) ** (1 / 3) + (1000 + 4913 + 8) ** (1 / 3)),
    ],
)
def test_known_answers(p, q, expected):
    assert PowerObjective(p, q)(DELTAS, ALL).tolist() == pytest.approx([expected], rel=1e-6)


def test_tokens_out_of_scope_do_not_count():
    mask = torch.tensor([[False, True, True], [True, False, False]])
    assert PowerObjective(2, 2)(DELTAS, mask).tolist() == pytest.approx([math.sqrt(170) + 10], rel=1e-6)


def test_tokens_out_of_scope_do_not_count_at_small_powers_either():
    """What stands in for 0 under the root is not small any more once it is raised to the power 1/20."""
    mask = torch.tensor([[False, True, True], [True, False, False]])
    want = 13**0.1 + 1 + 10**0.1
    assert PowerObjective(0.1, 1)(DELTAS, mask).tolist() == pytest.approx([want], rel=1e-6)


@pytest.mark.parametrize("huge", [1e5, 1e30])
@pytest.mark.parametrize(("p", "q"), [(2, 2), (1, 1), (4, 2), (10, 5)])
def test_tokens_out_of_scope_do_not_count_however_large_they_are(huge, p, q):
    mask = torch.tensor([[False, True, True], [False, True, True]])
    spoilt = DELTAS.clone()
    spoilt[:, :, 0] = huge
    spoilt.requires_grad_()
    value = PowerObjective(p, q)(spoilt, mask)
    assert value.tolist() == pytest.approx(PowerObjective(p, q)(DELTAS, mask).tolist(), rel=1e-6)
    value.sum().backward()
    assert torch.isfinite(spoilt.grad).all()
    assert (spoilt.grad[:, :, 0] == 0).all()


def test_each_vector_has_its_own_value():
    both = torch.cat([DELTAS, 2 * DELTAS])
    values = PowerObjective(2, 2)(both, ALL)
    assert values.shape == (2,)
    assert float(values[1]) == pytest.approx(2 * float(values[0]), rel=1e-6)


# at 1, 1/2, 2 and 1/3, 3, 1 times the norms 5, 13, 1 and 10, 17, 2: n/(1 + (n/peak)²) is n times these shares
PEAKS = torch.tensor([[5.0, 26.0, 0.5], [30.0, 17 / 3, 2.0]])


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (1, 1, 5 / 2 + 13 * 4 / 5 + 1 / 5 + 9 + 17 / 10 + 1),
        (2, 2, math.hypot(5 / 2, 13 * 4 / 5, 1 / 5) + math.hypot(9, 17 / 10, 1)),
    ],
)
def test_a_token_counts_by_where_it_stands_to_its_peak(p, q, expected):
    assert PowerObjective(p, q, PEAKS)(DELTAS, ALL).tolist() == pytest.approx([expected], rel=1e-6)


def test_a_token_counts_most_at_its_peak():
    """Along n the slope is (1 − m²)/(1 + m²)² with m = n/peak: up below the peak, none at it, down beyond."""
    deltas = DELTAS.double().requires_grad_()
    PowerObjective(1, 1, PEAKS.double())(deltas, ALL).backward()
    unit = DELTAS[0].double() / DELTAS[0].double().norm(dim=-1, keepdim=True)
    times = torch.tensor([[1, 1 / 2, 2], [1 / 3, 3, 1]], dtype=torch.float64)
    slope = (1 - times**2) / (1 + times**2) ** 2
    torch.testing.assert_close(deltas.grad[0], slope[..., None] * unit, atol=1e-6, rtol=1e-6)


def test_far_below_its_peak_a_token_counts_as_published():
    far = PowerObjective(2, 1, 1e6 * PEAKS)(DELTAS, ALL)
    assert far.tolist() == pytest.approx(PowerObjective(2, 1)(DELTAS, ALL).tolist(), rel=1e-6)


@pytest.mark.parametrize("times", [1e2, 1e6])
def test_far_beyond_all_peaks_there_is_still_a_way_back(times):
    """A runaway in all tokens must not leave the climb without a gradient, nor its logarithm without a number."""
    deltas = DELTAS.clone().requires_grad_()
    value = PowerObjective(2, 2, PEAKS / times)(deltas, ALL)
    value.log().sum().backward()
    assert value.isfinite().all() and (value > 0).all()
    inwards = -(deltas.grad * DELTAS).sum(dim=-1)
    assert (inwards > 0).any() and deltas.grad.isfinite().all()


def test_a_token_without_a_norm_of_its_own_does_not_spoil_the_others():
    """Padding out of scope has the least peak there is."""
    mask = torch.tensor([[False, True, True], [True, True, True]])
    peaks = PEAKS.clone()
    peaks[0, 0] = 1e-18
    deltas = DELTAS.clone().requires_grad_()
    value = PowerObjective(1, 1, peaks)(deltas, mask)
    value.sum().backward()
    assert value.tolist() == pytest.approx([13 * 4 / 5 + 1 / 5 + 9 + 17 / 10 + 1], rel=1e-6)
    assert deltas.grad.isfinite().all() and (deltas.grad[0, 0, 0] == 0).all()


POWERS = [(2, 2), (2, 1), (1, 1), (4, 2), (1, 2), (4, 4)]


@pytest.mark.parametrize(("p", "q"), POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_nothing_changes_the_gradient_is_zero_and_not_nan(p, q, dtype):
    deltas = torch.zeros(1, 1, 3, 4, dtype=dtype, requires_grad=True)
    value = PowerObjective(p, q)(deltas, torch.ones(1, 3, dtype=torch.bool))
    value.sum().backward()
    assert value.item() == pytest.approx(0, abs=1e-8)
    assert torch.equal(deltas.grad, torch.zeros_like(deltas))


@pytest.mark.parametrize(("p", "q"), POWERS)
def test_a_token_that_does_not_change_leaves_the_others_their_gradient(p, q):
    deltas = torch.zeros(1, 1, 3, 2, dtype=torch.float64)
    deltas[0, 0, 1] = torch.tensor([3.0, 4.0])
    deltas.requires_grad_()
    PowerObjective(p, q)(deltas, torch.ones(1, 3, dtype=torch.bool)).sum().backward()
    # of (n^p)^(1/q) with n = 5: (p/q) n^(p/q - 1) along (0.6, 0.8)
    slope = p / q * 5 ** (p / q - 1)
    want = torch.zeros_like(deltas)
    want[0, 0, 1] = slope * torch.tensor([0.6, 0.8], dtype=torch.float64)
    torch.testing.assert_close(deltas.grad, want, atol=1e-12, rtol=1e-9)


@pytest.fixture(scope="module")
def piece():
    lm = tiny("gpt2", dtype=torch.float64)  # no part of GPT-2 falls back to float32
    return ModelSlice(lm, encoded(lm, "the heath", "hello"), 0, 2)


@pytest.mark.parametrize(("p", "q"), POWERS[:4])
def test_gradients_equal_central_differences(piece, p, q):
    objective, mask = PowerObjective(p, q), piece.encoded.attention_mask.bool()
    thetas = random_thetas(2, dtype=torch.float64).requires_grad_()
    gradient = torch.autograd.grad(objective(piece.deltas(thetas), mask).sum(), thetas)[0]
    step = 1e-5
    with torch.no_grad():
        for column in range(0, thetas.shape[1], 5):
            nudge = torch.zeros_like(thetas)
            nudge[:, column] = step
            rise = objective(piece.deltas(thetas + nudge), mask) - objective(piece.deltas(thetas - nudge), mask)
            torch.testing.assert_close(gradient[:, column], rise / (2 * step), rtol=1e-5, atol=1e-5)
    assert gradient.abs().max() > 0.01


@pytest.mark.parametrize(("p", "q"), POWERS[:4])
def test_gradcheck_agrees(piece, p, q):
    objective, mask = PowerObjective(p, q), piece.encoded.attention_mask.bool()
    thetas = random_thetas(1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: objective(piece.deltas(rows), mask), (thetas,), fast_mode=True)


@pytest.mark.parametrize(("p", "q"), POWERS)
def test_at_the_zero_vector_the_gradient_through_a_model_is_finite(piece, p, q):
    thetas = torch.zeros(1, 32, dtype=torch.float64, requires_grad=True)
    value = PowerObjective(p, q)(piece.deltas(thetas), piece.encoded.attention_mask.bool())
    value.sum().backward()
    assert torch.isfinite(thetas.grad).all()
