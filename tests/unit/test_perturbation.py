"""The adversary of latent adversarial training: its ball, its ascent, and where its perturbation is added."""

import pytest
import torch
from tiny_models import tiny

from melbo_app.engine.lessons import Lesson, surprisals
from melbo_app.engine.perturbation import Ball, ascend, blank, median_size, perturbed, project, random_perturbation
from melbo_app.errors import Stopped

LESSONS = (Lesson((5, 6, 7, 8), (10, 11)), Lesson((5, 6), (7, 8, 9)), Lesson((20, 21, 22), (23,)))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_point_of_the_ball():
    inside, outside = 0.1 * drawn(2, 3, 8), 50 * drawn(2, 3, 8)
    torch.testing.assert_close(project(inside, 2.0), inside)
    found = project(outside, 2.0)
    assert found.norm(dim=-1).flatten().tolist() == pytest.approx([2.0] * 6, rel=1e-5)
    assert torch.nn.functional.cosine_similarity(found, outside, dim=-1).min() > 0.9999
    assert not project(outside, 0.0).any()


def test_it_finds_the_maximum_of_a_linear_map_on_the_edge_and_of_a_parabola_inside():
    slope, top = drawn(2, 3, 8), 0.5 * torch.nn.functional.normalize(drawn(2, 3, 8, seed=1), dim=-1)
    start = torch.zeros(2, 3, 8)
    found = ascend(lambda one: (one * slope).sum(), start, Ball(0, 2.0, 8))
    torch.testing.assert_close(found, 2 * torch.nn.functional.normalize(slope, dim=-1))
    found = ascend(lambda one: -((one - top) ** 2).sum(), start, Ball(0, 2.0, 40))
    assert (found - top).norm(dim=-1).max() < 0.1


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_it_never_leaves_the_ball_and_reaches_its_other_side(steps):
    seen = []

    def objective(one):
        seen.append(one.detach().norm(dim=-1).max())
        return one.sum()

    far = -2.0 * torch.ones(1, 4, 8) / 8**0.5  # at the edge opposite to the maximum
    found = ascend(objective, far, Ball(0, 2.0, steps))
    assert len(seen) == steps and max(*seen, found.norm(dim=-1).max()) <= 2.0 + 1e-5
    assert float(found.sum(-1).min()) > 0


def test_no_steps_leave_the_start_and_a_stop_is_heard():
    start = drawn(1, 2, 8)
    torch.testing.assert_close(ascend(lambda one: one.sum(), start, Ball(0, 100.0, 0)), start)
    with pytest.raises(Stopped):
        ascend(lambda one: one.sum(), start, Ball(0, 1.0, 3), lambda: True)


@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_it_is_added_at_the_tokens_of_each_prompt_and_nowhere_else(family, layer):
    lm = tiny(family)
    perturbation = drawn(3, 4, lm.hidden_size)
    with torch.no_grad(), perturbed(lm, layer, perturbation, LESSONS):
        together = surprisals(lm, LESSONS)
    alone = []
    for row, lesson in zip(perturbation, LESSONS, strict=True):
        ids = torch.tensor([[*lesson.prompt, *lesson.answer]])
        mine = torch.cat([row[4 - len(lesson.prompt) :], torch.zeros(len(lesson.answer), lm.hidden_size)])[None]
        module = lm.model.get_input_embeddings() if layer is None else lm.blocks[layer]

        def add(_module, _args, output, mine=mine):
            return (output[0] + mine, *output[1:]) if isinstance(output, tuple) else output + mine

        handle = module.register_forward_hook(add)
        with torch.no_grad():
            logs = lm.model(ids).logits.log_softmax(-1)[0]
        handle.remove()
        first = len(lesson.prompt) - 1
        alone += [-float(logs[first + at, token]) for at, token in enumerate(lesson.answer)]
    assert together.tolist() == pytest.approx(alone, rel=1e-3, abs=1e-3)
    assert not lm.model.get_input_embeddings()._forward_hooks and not lm.blocks[1]._forward_hooks


def test_the_slope_of_a_surprise_is_that_of_finite_differences():
    lm = tiny("llama")

    def surprise(perturbation):
        with perturbed(lm, 1, perturbation, LESSONS):
            return surprisals(lm, LESSONS).mean()

    point = blank(lm, LESSONS).requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(surprise(point), point)
    assert not slope[1, :2].any() and not slope[2, :1].any()  # before the shorter prompts
    for place in ((0, 0, 3), (1, 3, 5), (2, 2, 0)):
        step = torch.zeros_like(slope)
        step[place] = 0.02
        with torch.no_grad():
            up, down = (float(surprise(sign * step)) for sign in (1, -1))
        assert float(slope[place]) == pytest.approx((up - down) / 0.04, rel=0.05, abs=2e-4)


def test_the_median_leaves_out_answers_padding_and_first_tokens():
    lm = tiny("llama")
    expected = []
    for lesson in LESSONS:
        states = lm.model(torch.tensor([[*lesson.prompt, *lesson.answer]]), output_hidden_states=True).hidden_states[2]
        expected += states[0, 1 : len(lesson.prompt)].norm(dim=-1).tolist()
    assert median_size(lm, LESSONS, 1) == pytest.approx(float(torch.tensor(expected).median()), rel=1e-3)


def test_random_perturbations_lie_on_the_edge_and_depend_on_the_seed():
    one, two = (random_perturbation((2, 3, 8), 1.5, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert one.norm(dim=-1).flatten().tolist() == pytest.approx([1.5] * 6, rel=1e-5)
    assert not torch.allclose(one, two)
