"""Agreement between prompts: the contrastive loss of NoiseCLR, and its numerator alone."""

import math

import pytest
import torch

from melbo_app.engine.agreement import (
    contrastive_loss,
    log_denominator,
    log_numerator,
    prompt_changes,
)

MEASURES = [log_numerator, log_denominator, contrastive_loss]


def rows(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same_everywhere(vectors, prompts, width=8):
    """δ the same in all prompts but for its length, orthogonal to that of every other vector."""
    lengths = rows(vectors, prompts, 1, seed=3).abs() + 0.1
    return lengths * torch.eye(width, dtype=torch.float64)[:vectors, None, :].expand(-1, prompts, -1)


@pytest.mark.parametrize(("vectors", "prompts"), [(2, 2), (3, 5), (8, 3)])
def test_the_same_in_all_prompts_and_orthogonal_to_the_others_is_minus_two_at_temperature_one_half(vectors, prompts):
    changes = same_everywhere(vectors, prompts)
    assert contrastive_loss(changes, 0.5).tolist() == pytest.approx([-2.000] * vectors, abs=1e-12)
    assert log_numerator(changes, 0.5).tolist() == pytest.approx([2.000] * vectors, abs=1e-12)
    assert log_denominator(changes, 0.5).tolist() == pytest.approx([0.0] * vectors, abs=1e-12)


def test_vectors_that_do_all_the_same_gain_nothing_from_agreement():
    changes = rows(8).expand(3, 4, 8)
    assert contrastive_loss(changes, 0.5).tolist() == pytest.approx([0.0] * 3, abs=1e-12)


def test_prompts_that_oppose_each_other():
    one = rows(1, 1, 8)
    changes = torch.cat([one, -2 * one], dim=1)
    assert log_numerator(changes, 0.25).tolist() == pytest.approx([-4.0])


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_the_means_are_those_of_the_loops_in_the_paper(temperature):
    changes = rows(3, 4, 8)

    def similar(k, a, other, b):
        return math.exp(float(torch.cosine_similarity(changes[k, a], changes[other, b], dim=0)) / temperature)

    for k in range(3):
        above = [similar(k, a, k, b) for a in range(4) for b in range(4) if a != b]
        below = [similar(k, a, other, a) for a in range(4) for other in range(3) if other != k]
        want = -math.log((sum(above) / len(above)) / (sum(below) / len(below)))
        assert float(contrastive_loss(changes, temperature)[k]) == pytest.approx(want, rel=1e-9)


def test_a_low_temperature_does_not_overflow():
    changes = rows(2, 3, 8).float()
    for measure in MEASURES:
        assert measure(changes, 1e-3).isfinite().all()


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients_equal_finite_differences(measure):
    changes = rows(3, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda all_changes: measure(all_changes, 0.5), (changes,))


@pytest.mark.parametrize("measure", MEASURES)
def test_how_long_a_change_is_does_not_matter(measure):
    changes = rows(3, 4, 8)
    longer = changes * (rows(3, 4, 1, seed=1).abs() + 0.5)
    torch.testing.assert_close(measure(longer, 0.5), measure(changes, 0.5))


def test_what_a_prompt_changes_by_is_the_mean_over_its_tokens_in_scope():
    mask = torch.tensor([[False, True, True, True], [False, False, False, True], [True, False, True, False]])
    deltas = rows(2, 3, 4, 5)
    changes = prompt_changes(deltas[:, mask], mask)
    for prompt in range(3):
        torch.testing.assert_close(changes[:, prompt], deltas[:, prompt, mask[prompt]].mean(dim=1))
