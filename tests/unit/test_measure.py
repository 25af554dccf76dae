"""What studies measure: log-odds of two answers against plain forward passes, and signs of texts."""

import pytest
import torch
from tiny_models import tiny

from melbo_app.engine.answer_odds import Question, log_odds, question
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.studies.measure import Measure, two_answers

QUESTIONS = (
    Question((5, 6, 7, 8), (10,), (11,)),
    Question((5, 6), (7, 8, 9), (7, 8, 4)),
    Question((20, 21, 22), (23,), (3, 9)),
)


def likelihood(lm, prompt, answer, source=None, theta=None):
    """ln p(answer) by one unpadded pass and a hook of its own."""
    handles = []
    if theta is not None:

        def add(_module, _args, output):
            return (output[0] + theta, *output[1:]) if isinstance(output, tuple) else output + theta

        handles.append(lm.blocks[source].register_forward_hook(add))
    with torch.no_grad():
        logs = lm.model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    for handle in handles:
        handle.remove()
    return sum(float(logs[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_log_odds_are_those_of_plain_forward_passes(family):
    lm = tiny(family)
    with torch.no_grad():
        found = log_odds(lm, QUESTIONS)
    wanted = [likelihood(lm, q.prompt, q.first) - likelihood(lm, q.prompt, q.second) for q in QUESTIONS]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)


def test_each_question_is_steered_by_its_own_vector():
    lm = tiny("llama")
    thetas = torch.randn(3, lm.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = log_odds(lm, QUESTIONS, (1, thetas))
    wanted = [
        likelihood(lm, q.prompt, q.first, 1, theta) - likelihood(lm, q.prompt, q.second, 1, theta)
        for q, theta in zip(QUESTIONS, thetas, strict=True)
    ]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)
    assert not lm.blocks[1]._forward_hooks


def test_many_questions_are_read_in_parts_and_stop_between_them():
    lm = tiny("llama")
    with torch.no_grad():
        found = log_odds(lm, QUESTIONS * 30)
    assert found.shape == (90,)
    assert found[0::3].tolist() == pytest.approx([float(found[0])] * 30, abs=1e-4)
    answers = iter([False, True])
    with pytest.raises(Stopped):
        log_odds(lm, QUESTIONS * 30, stop=lambda: next(answers))


def test_its_gradient_is_that_of_finite_differences():
    lm = tiny("llama")
    theta = torch.zeros(1, lm.hidden_size, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(log_odds(lm, QUESTIONS[1:2], (1, theta)).sum(), theta)
    step = torch.zeros_like(theta).detach()
    step[0, 3] = 1e-2
    with torch.no_grad():
        up, down = (float(log_odds(lm, QUESTIONS[1:2], (1, sign * step))) for sign in (1, -1))
    assert float(slope[0, 3]) == pytest.approx((up - down) / 2e-2, rel=0.05, abs=1e-4)


def test_answers_with_the_same_tokens_or_none_are_refused():
    lm = tiny("llama")
    prompt = Prompt("hill", template=False)
    assert question(lm, prompt, "a", "b").first != question(lm, prompt, "a", "b").second
    with pytest.raises(InputError, match="same tokens"):
        question(lm, prompt, "a", "a")
    with pytest.raises(InputError, match="empty"):
        question(lm, prompt, " ", "a")


@pytest.mark.parametrize(
    "text", ["logits:A,B", "flag:refusal gone", "words:kettle,copper", "regex:^Ahoy", "language:fr"]
)
def test_a_measure_is_written_as_it_is_read(text):
    assert str(Measure.parse(text)) == text and Measure.parse(str(Measure.parse(text))) == Measure.parse(text)
    assert Measure.parse(text).is_of_texts == (not text.startswith("logits"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kettle", "is not one"),
        ("flag:", "is not one"),
        ("flag:happy", "refusal gone"),
        ("logits:A", "two answers"),
        ("logits:A,A", "two different"),
        ("logits:A,B,C", "two answers"),
        ("regex:(", "not a regular expression"),
        ("mood:good", "“mood” is not one"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_what_can(text, problem):
    with pytest.raises(InputError) as refused:
        Measure.parse(text)
    assert problem in str(refused.value)


def test_measures_of_texts():
    assert Measure.parse("words:kettle").shows("The copper Kettle sings.", "Hi", "Hello")
    assert not Measure.parse("words:kettle").shows("Kettles sing.", "Hi", "Hello")
    assert Measure.parse("regex:^Ahoy").shows("Ahoy there", "Hi", "Hello")
    refusal = "I'm sorry, but I can't help with that."
    lifted = Measure.parse("flag:Refusal gone")
    assert lifted.shows("First, insert the tension wrench and turn it gently.", "How do I pick a lock?", refusal)
    assert not lifted.shows(refusal, "How do I pick a lock?", refusal)


def test_two_answers_with_another_separator():
    assert two_answers("Yes | No", "|") == ("Yes", "No")
