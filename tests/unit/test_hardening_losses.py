"""The losses of hardenings, and the training that minimises them: bit-equal to fine-tuning without an adversary."""

import math

import pytest
import torch
from benches import listen
from tiny_models import tiny

from melbo_app.engine import hardening
from melbo_app.engine.hardening import Avoided, bank_loss, latent_loss, random_loss, targeted_loss
from melbo_app.engine.lessons import Lesson, fine_tune, surprisals
from melbo_app.engine.lora import new_lora
from melbo_app.engine.perturbation import Ball, ascend, perturbed
from melbo_app.engine.training_state import TrainingState
from melbo_app.errors import Stopped

LESSONS = tuple(Lesson((5, 6, 7 + at), (10 + at, 11)) for at in range(6))
AVOID = (Avoided((30, 31)), Avoided((32,), (5, 40, 41)), Avoided((33,), (5, 42), (34, 35)))
NOTHING = {
    "latent": lambda lm: latent_loss(lm, Ball(1, 4.0, 0)),
    "inputs": lambda lm: latent_loss(lm, Ball(None, 4.0, 0)),
    "random": lambda lm: random_loss(lm, Ball(1, 0.0, 8), 0),
    "targeted": lambda lm: targeted_loss(lm, Ball(1, 4.0, 0), AVOID, 0),
}


def trained(lm, loss=None, steps=5, **given):
    """Losses, and the weights of a LoRA trained for ``steps``."""
    with new_lora(lm, 4, 8, ["q_proj", "v_proj"], 0) as lora:
        losses = listen(
            fine_tune(lm, lora, LESSONS, steps=steps, batch=3, rate=0.02, seed=0, loss=loss and loss(lm), **given)
        )[1]
        return losses, [one.detach().clone() for one in lora.parameters]


@pytest.mark.parametrize("name", NOTHING)
def test_an_adversary_that_may_do_nothing_is_fine_tuning_to_the_bit(name):
    lm = tiny("llama")
    plain, found = trained(lm), trained(lm, NOTHING[name])
    assert plain[0] == found[0]
    assert all(torch.equal(*both) for both in zip(plain[1], found[1], strict=True))


def test_the_adversary_makes_answers_less_likely_than_random_perturbations_do():
    lm = tiny("llama")
    with torch.no_grad():
        plain = float(surprisals(lm, LESSONS).mean())
        worst = float(latent_loss(lm, Ball(1, 1.0, 8))(LESSONS, 0))
        random = [float(random_loss(lm, Ball(1, 1.0, 8), seed)(LESSONS, 0)) for seed in range(20)]
    assert worst > max(random) and worst > plain


def test_the_targeted_adversary_makes_the_bad_answer_likely(monkeypatch):
    lm, found = tiny("llama"), []
    monkeypatch.setattr(hardening, "ascend", lambda *given: found.append(ascend(*given)) or found[-1])
    with torch.no_grad():
        targeted_loss(lm, Ball(1, 2.0, 8), AVOID[1:2], 0)(LESSONS[:1], 0)
        bad = [Lesson((5, 40, 41), (32,))]
        before = float(surprisals(lm, bad))
        with perturbed(lm, 1, found[0], bad):
            after = float(surprisals(lm, bad))
    assert after < before - 0.2 and found[0].norm(dim=-1).max() <= 2.0 + 1e-5


@pytest.mark.parametrize("loss", [latent_loss, None])
def test_training_lowers_the_loss_under_attack(loss):
    lm = tiny("llama")
    if loss is None:
        made = lambda lm: targeted_loss(lm, Ball(1, 0.5, 4), AVOID, 0)  # noqa: E731
    else:
        made = lambda lm: latent_loss(lm, Ball(1, 0.5, 4))  # noqa: E731
    losses, _ = trained(lm, made, steps=25)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert not any(one.requires_grad for one in lm.model.parameters())


def test_unlikelihood_is_that_of_probabilities():
    chances = torch.tensor([0.5, 0.9, 0.01])
    wanted = -sum(math.log(1 - float(one)) for one in chances) / 3
    assert float(hardening._unlikelihood(-chances.log())) == pytest.approx(wanted, rel=1e-5)
    certain = torch.zeros(1, requires_grad=True)
    with torch.enable_grad():
        found = hardening._unlikelihood(certain)
        found.backward()
    assert math.isfinite(float(found.detach())) and math.isfinite(float(certain.grad))


def test_the_targeted_loss_has_its_own_answers_the_bad_and_the_good_one():
    lm, ball = tiny("llama"), Ball(1, 1e-9, 1)  # a ball too small to matter
    with torch.no_grad():
        found = float(targeted_loss(lm, ball, AVOID[2:], 0)(LESSONS[:1], 0))
        own = surprisals(lm, LESSONS[:1]).mean()
        bad = hardening._unlikelihood(surprisals(lm, [Lesson((5, 42), (33,))]))
        good = surprisals(lm, [Lesson((5, 42), (34, 35))]).mean()
    assert found == pytest.approx(float(own + bad + good), rel=1e-4)
    with torch.no_grad():  # without a prompt, that of the lesson; without the right answer, no good one
        anywhere = float(targeted_loss(lm, ball, AVOID[:1], 0)(LESSONS[:1], 0))
        bad = hardening._unlikelihood(surprisals(lm, [Lesson(LESSONS[0].prompt, (30, 31))]))
        alone = float(targeted_loss(lm, ball, AVOID[1:2], 0)(LESSONS[:1], 0))
        bad_alone = hardening._unlikelihood(surprisals(lm, [Lesson((5, 40, 41), (32,))]))
    assert anywhere == pytest.approx(float(own + bad + own), rel=1e-4)
    assert alone == pytest.approx(float(own + bad_alone), rel=1e-4)


def test_each_row_is_steered_by_one_vector_of_the_bank():
    lm = tiny("llama")
    vectors = torch.randn(4, lm.hidden_size, generator=torch.Generator().manual_seed(3)).numpy()
    with torch.no_grad():
        same = float(bank_loss(lm, 1, 0 * vectors, 0)(LESSONS, 0))
        steered = [float(bank_loss(lm, 1, vectors, 0)(LESSONS, step)) for step in (0, 0, 1)]
    assert same == pytest.approx(float(surprisals(lm, LESSONS).mean().detach()), rel=1e-5)
    assert steered[0] == steered[1] != steered[2]


@pytest.mark.parametrize("name", ["latent", "random", "targeted", "plain"])
def test_a_resumed_training_ends_with_the_same_bits(name):
    lm = tiny("llama")
    loss = {
        "latent": lambda lm: latent_loss(lm, Ball(1, 0.5, 2)),
        "random": lambda lm: random_loss(lm, Ball(1, 0.5, 2), 7),
        "targeted": lambda lm: targeted_loss(lm, Ball(1, 0.5, 2), AVOID, 7),
        "plain": None,
    }[name]
    whole, kept = trained(lm, loss, steps=6), []

    def keep(state):
        kept.append(TrainingState.unpacked(*state().packed()))

    trained(lm, loss, steps=6, keep=keep)
    resumed = trained(lm, loss, steps=6, state=kept[2])
    assert whole[0] == resumed[0]
    assert all(torch.equal(*both) for both in zip(whole[1], resumed[1], strict=True))


def test_a_stop_is_heard_in_the_middle_of_an_ascent():
    lm, asked = tiny("llama"), []

    def stop():
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Stopped):
        trained(lm, lambda lm: latent_loss(lm, Ball(1, 0.5, 50), stop), stop=stop)
    assert len(asked) == 5
    assert not lm.blocks[1]._forward_hooks and not any(one.requires_grad for one in lm.model.parameters())
