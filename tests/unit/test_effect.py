"""What vectors do on the prompts they were trained on, and on those that were kept out."""

from dataclasses import replace

import pytest
import torch
from benches import listen
from tiny_models import encoded, random_thetas, tiny

from melbo_app.engine.effect import effects, radius_of_change, share_changed
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig

CONFIG = TrainingConfig(0, 2, 2.0, vectors=3, scope="last:3")
THETAS = random_thetas(3)


@pytest.fixture(scope="module")
def slices():
    lm = tiny("llama")
    return [ModelSlice(lm, encoded(lm, *texts), 0, 2) for texts in (("the heath", "hello"), ("heat", "there", "a hat"))]


def last_three(piece):
    """Δ of the last three tokens, spelt out: [V, P, 3, d]."""
    with torch.no_grad():
        return (piece.activations(THETAS) - piece.baseline)[:, :, -3:]


def cosine(changes, vector, one, other):
    return float(torch.cosine_similarity(changes[vector, one], changes[vector, other], dim=0))


def test_the_figures_are_those_of_the_definition(slices):
    _, (known, unknown) = listen(effects(THETAS, CONFIG, *slices, 3))
    deltas = [last_three(piece) for piece in slices]
    for found, delta in zip((known, unknown), deltas, strict=True):
        norms = delta.norm(dim=-1)
        assert found.objective == pytest.approx(norms.square().sum(2).sqrt().mean(1).tolist(), rel=1e-5)
        assert found.change == pytest.approx(norms.mean(dim=(1, 2)).tolist(), rel=1e-5)
    changes = torch.cat([delta.mean(dim=2) for delta in deltas], dim=1)
    for vector in range(3):
        assert known.agreement[vector] == pytest.approx(cosine(changes, vector, 0, 1), abs=1e-5)
        pairs = [cosine(changes, vector, one, other) for one in range(5) for other in range(one) if one >= 2]
        assert unknown.agreement[vector] == pytest.approx(sum(pairs) / 9, abs=1e-5)


def test_a_single_prompt_agrees_with_nothing_and_one_that_is_kept_out_with_those_of_the_training(slices):
    lm = slices[0].lm
    alone, other = (ModelSlice(lm, encoded(lm, text), 0, 2) for text in ("hello", "heat"))
    _, (known, unknown) = listen(effects(THETAS, CONFIG, alone, other, 3))
    assert known.agreement is None
    changes = torch.cat([last_three(piece).mean(dim=2) for piece in (alone, other)], dim=1)
    assert unknown.agreement == pytest.approx([cosine(changes, vector, 0, 1) for vector in range(3)], abs=1e-5)


def test_without_prompts_that_are_kept_out_there_is_one_effect(slices):
    _, (known, unknown) = listen(effects(THETAS, CONFIG, slices[0], None, 3))
    assert unknown is None and len(known.agreement) == 3


def test_the_size_of_a_batch_does_not_matter_and_others_may_compute_in_between(slices):
    silent, whole = listen(effects(THETAS, CONFIG, *slices, 3))
    heard, parts = listen(effects(THETAS, CONFIG, *slices, 1))
    assert silent == [] and heard == [1, 2]
    for one, other in zip(whole, parts, strict=True):
        assert one.change == pytest.approx(other.change, rel=1e-5)
        assert one.agreement == pytest.approx(other.agreement, abs=1e-5)


def test_a_set_twice_as_large_has_the_same_objective_per_prompt(slices):
    lm = slices[0].lm
    once, twice = (ModelSlice(lm, encoded(lm, *["hello"] * count), 0, 2) for count in (1, 2))
    for p, q in ((2.0, None), (4.0, 2.0)):
        config = replace(CONFIG, p=p, q=q)
        single, double = (listen(effects(THETAS, config, piece, None, 3))[1][0] for piece in (once, twice))
        assert double.objective == pytest.approx(single.objective, rel=1e-4)
        assert double.agreement == pytest.approx([1.0] * 3, abs=1e-5)


def test_a_vector_that_makes_attention_sinks_is_a_runaway_by_its_worst_prompt(slices):
    loud = THETAS * torch.tensor([[1.0], [1e6], [1.0]])
    _, (known, unknown) = listen(effects(loud, CONFIG, *slices, 2))
    for found, piece in zip((known, unknown), slices, strict=True):
        with torch.no_grad():
            norms = piece.activations(loud).norm(dim=-1)  # [V, P, T]
        real = piece.encoded.attention_mask.bool()
        worst = []
        for vector in range(3):
            shares = []
            for row, counts in enumerate(real):
                quiet = piece.baseline.norm(dim=-1)[row][counts]
                ordinary = quiet <= 10 * quiet.median()
                shares.append(float((norms[vector, row][counts][ordinary] > 10 * quiet.median()).float().mean()))
            worst.append(max(shares))
        assert found.runaway == pytest.approx(worst, abs=1e-6)
        assert found.runaway[0] == 0 and found.runaway[1] > 0.5


def test_the_share_is_the_change_against_the_norm_of_each_token(slices):
    _, found = listen(effects(THETAS, CONFIG, *slices, 3))
    for effect, piece in zip(found, slices, strict=True):
        norms = piece.baseline[:, -3:].norm(dim=-1)
        expected = (last_three(piece).norm(dim=-1) / norms).mean(dim=(1, 2))
        assert effect.share == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("share", [1e-4, 0.02, 0.1, 0.3])
def test_at_the_radius_of_a_change_random_vectors_change_as_much(slices, share):
    piece, scope = slices[0], TokenScope.parse("last:3")
    radius = radius_of_change(piece, scope, share)
    rows = random_rows(4, piece.width, radius * piece.median_norm, torch.Generator().manual_seed(0))
    assert share_changed(piece, scope, rows) == pytest.approx(share, rel=0.1)
    assert radius_of_change(piece, scope, 2 * share) > radius


def test_a_change_that_no_radius_reaches_gives_the_largest_one(slices):
    assert radius_of_change(slices[0], TokenScope.parse("last:3"), 1e6) == pytest.approx(0.004 * 2.5**7)
