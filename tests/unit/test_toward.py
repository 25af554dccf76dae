"""Vectors that make a model say given texts: the objective, the norm, and rows that do not know of each other."""

import pytest
import torch
from benches import listen
from tiny_models import tiny

from melbo_app.engine.lessons import Lesson, answers, surprisals
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.toward import vectors_toward
from melbo_app.errors import InputError, Stopped

LESSONS = (Lesson((5, 6, 7, 8), (10, 11)), Lesson((5, 6), (7, 8, 9)), Lesson((20, 21, 22), (23,)))


def surprise(lm, lesson, source, theta):
    """The mean surprisal of an answer under one vector, by a forward pass without this module."""
    ids = torch.tensor([[*lesson.prompt, *lesson.answer]])
    with torch.no_grad(), steer(lm, source, add_rows(theta[None])):
        logs = lm.model(ids).logits.log_softmax(-1)[0]
    first = len(lesson.prompt) - 1
    return float(-sum(logs[first + at, token] for at, token in enumerate(lesson.answer)))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_answer_is_likelier_than_under_any_of_many_random_vectors_of_the_same_norm(family):
    lm, radii = tiny(family), [0.5, 1.0, 2.0]
    told, found = listen(vectors_toward(lm, LESSONS, 1, radii))
    assert told == [*range(1, 31)] and found.shape == (3, lm.hidden_size) and not found.requires_grad
    assert found.norm(dim=1).tolist() == pytest.approx(radii, rel=1e-5)
    generator = torch.Generator().manual_seed(5)
    for lesson, theta, radius in zip(LESSONS, found, radii, strict=True):
        random = torch.nn.functional.normalize(torch.randn(100, lm.hidden_size, generator=generator), dim=1) * radius
        best = min(surprise(lm, lesson, 1, one) for one in random)
        assert surprise(lm, lesson, 1, theta) < min(best, surprise(lm, lesson, 1, 0 * theta))
    assert not any(one.requires_grad or one.grad is not None for one in lm.model.parameters())


def test_the_trained_surprisal_is_that_of_a_plain_forward_pass():
    lm, theta = tiny("llama"), torch.full((32,), 0.3)
    with torch.no_grad(), steer(lm, 1, add_rows(theta[None, : lm.hidden_size])):
        together = surprisals(lm, LESSONS)
    alone = [surprise(lm, lesson, 1, theta[: lm.hidden_size]) for lesson in LESSONS]
    assert float(together.sum()) == pytest.approx(sum(alone), rel=1e-4)


def test_a_vector_does_not_depend_on_the_other_lessons_and_is_the_same_for_a_seed():
    lm = tiny("llama")
    together = listen(vectors_toward(lm, LESSONS, 1, [1.0, 2.0, 0.5], steps=4))[1]
    for number, radius in enumerate((1.0, 2.0, 0.5)):
        alone = listen(vectors_toward(lm, LESSONS[number : number + 1], 1, [radius], steps=4))[1]
        torch.testing.assert_close(alone[0], together[number], rtol=1e-3, atol=1e-4)
    other = listen(vectors_toward(lm, LESSONS, 1, [1.0, 2.0, 0.5], steps=4, seed=1))[1]
    assert not torch.allclose(other, together, atol=0.01)


def test_answers_are_steered_each_by_its_own_vector():
    lm, texts = tiny("llama"), ["hill a", "hill b of a", "lake"]
    thetas = 6 * torch.nn.functional.normalize(torch.randn(3, lm.hidden_size, generator=torch.Generator()), dim=1)
    plain, steered = (listen(answers(lm, texts, 6, steered=one))[1] for one in (None, (1, thetas)))
    for number, text in enumerate(texts):
        alone = listen(answers(lm, [text], 6, steered=(1, thetas[number : number + 1])))[1]
        assert alone[0].ids == steered[number].ids
    assert [one.ids for one in steered] != [one.ids for one in plain]
    assert listen(answers(lm, texts, 6, steered=(1, 0 * thetas)))[1] == plain


def test_a_layer_that_does_not_exist_and_a_stop():
    lm = tiny("llama")
    with pytest.raises(InputError, match="^source layer: "):
        listen(vectors_toward(lm, LESSONS, 99, [1.0] * 3))
    with pytest.raises(Stopped):
        listen(vectors_toward(lm, LESSONS, 1, [1.0] * 3, stop=lambda: True))
    assert not any(block._forward_hooks for block in lm.blocks)
