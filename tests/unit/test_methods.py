"""What every method of training keeps to, whatever it looks for."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from tiny_models import WIDTH, encoded, tiny
from torch import nn

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import METHODS, train
from melbo_app.engine.training_config import METHOD_DESCRIPTIONS, Method, TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of

TEXTS, OTHERS = ("the heath", "hello"), ("a moor", "good day")
BASE = TrainingConfig(0, 2, 2.0, vectors=5, steps=4, scope="all")
NEW = ["transcoding", "jacobian", "difference-of-means", "contrast-pca", "random"]


def config(method, **changes):
    """A small training by ``method`` that it accepts."""
    described = METHOD_DESCRIPTIONS[method]
    vectors = {"difference-of-means": 1, "contrast-pca": 2}.get(method, 5)
    own = {"against": tuple(Prompt(text, template=False) for text in OTHERS)} if described.contrast else {}
    return replace(BASE, **{"method": method, "vectors": vectors, "steps": min(4, described.steps)} | own | changes)


def slices(lm, target=2):
    return ModelSlice(lm, encoded(lm, *TEXTS), 0, target), ModelSlice(lm, encoded(lm, *OTHERS), 0, target)


@pytest.fixture(scope="module")
def pieces():
    return slices(tiny("llama"))


def trained(pieces, setup, stop=None):
    against = pieces[1] if setup.against else None
    return result_of(train(pieces[0], setup, stop, against=against))


def test_each_method_is_described_and_each_description_has_its_method():
    assert set(METHODS) == set(METHOD_DESCRIPTIONS) == set(get_args(Method))
    for described in METHOD_DESCRIPTIONS.values():
        assert described.summary.endswith(".") and described.summary.count(".") == 1
        assert described.source


@pytest.mark.parametrize("method", NEW)
@pytest.mark.parametrize("radius", [2.0, 0.05, 300.0])
def test_rows_have_norm_r_and_the_reported_j(pieces, method, radius):
    found = trained(pieces, config(method, radius=radius, p=2, q=1))
    assert found.vectors.dtype == torch.float32 and found.vectors.shape == (config(method).vectors, WIDTH)
    assert found.vectors.norm(dim=1).tolist() == pytest.approx([radius] * len(found.vectors), rel=1e-5)
    mask = pieces[0].encoded.attention_mask.bool()
    changes = pieces[0].deltas(found.vectors)[:, mask].square().sum(dim=(1, 2))  # p = 2 and q = 1
    assert found.objective == pytest.approx(changes.tolist(), rel=1e-3)
    assert len(found.curves) == len(found.vectors) and all(found.curves)


@pytest.mark.parametrize("method", NEW)
def test_the_seed_decides_and_global_random_numbers_are_left_alone(pieces, method):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = trained(pieces, config(method)).vectors
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, trained(pieces, config(method)).vectors)
    if not METHOD_DESCRIPTIONS[method].contrast:  # which draw nothing
        assert not torch.equal(first, trained(pieces, config(method, seed=1)).vectors)


@pytest.mark.parametrize("method", NEW)
def test_the_size_of_a_batch_does_not_change_the_vectors(pieces, method, monkeypatch):
    found = []
    for batch in (1, 3, 7):
        monkeypatch.setattr("melbo_app.engine.training.vectors_at_once", lambda *_, size=batch: size)
        found.append(trained(pieces, config(method)))
    for other in found[1:]:
        torch.testing.assert_close(other.vectors, found[0].vectors, atol=1e-4, rtol=0)
        assert other.objective == pytest.approx(found[0].objective, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "bloom", "falcon_alibi", "mixtral", "olmo2"])
def test_models_of_many_kinds_give_vectors_that_do_more_than_random_ones(name, dtype):
    piece = slices(tiny(name, dtype=dtype))
    control = sum(trained(piece, config("random")).objective)
    for method in ("transcoding", "jacobian"):
        found = trained(piece, config(method))
        assert found.vectors.isfinite().all()
        assert sum(found.objective) > 1.1 * control


@pytest.mark.parametrize("method", NEW)
def test_a_stop_before_the_first_step_keeps_nothing(pieces, method):
    found = trained(pieces, config(method), lambda: True)
    assert found.stopped
    assert len(found.vectors) == len(found.curves) == 0
    assert not found.objective and not found.strength


@pytest.mark.parametrize("method", ["transcoding", "jacobian"])
@pytest.mark.parametrize("backwards", [False, True])
def test_stop_is_noticed_within_one_block_forwards_and_backwards(method, backwards):
    """Stop turns true inside the middle one of the second step's three blocks."""
    lm = tiny("llama")
    seen, pressed, step, calls = [], [], [], []

    def count(*_):
        if pressed:
            seen.append(1)
        elif len(step) == 1:
            calls.append(1)
            if len(calls) == 2:
                pressed.append(True)

    training = train(slices(lm, 3)[0], config(method, vectors=4, target=3), lambda: bool(pressed))
    step.append(next(training))
    hook = nn.Module.register_full_backward_hook if backwards else nn.Module.register_forward_hook
    handles = [hook(block, count) for block in lm.blocks]
    found = result_of(training)
    for handle in handles:
        handle.remove()
    assert pressed and found.stopped and seen == []


@pytest.mark.parametrize("method", ["random", "contrast-pca"])
def test_a_single_step_is_stopped_between_batches(pieces, method, monkeypatch):
    monkeypatch.setattr("melbo_app.engine.training.vectors_at_once", lambda *_: 1)
    whole, pressed = trained(pieces, config(method)), []
    training = train(pieces[0], config(method), lambda: bool(pressed), against=pieces[1])
    assert next(training).finished == 1
    pressed.append(True)
    found = result_of(training)
    assert found.stopped and torch.equal(found.vectors, whole.vectors[:1])
    assert found.objective == whole.objective[:1]


@pytest.mark.parametrize(
    ("method", "changes", "field", "part"),
    [
        ("random", {"steps": 5}, "steps", "random takes a single step, not 5. Leave it out"),
        ("difference-of-means", {"vectors": 2}, "vectors", "difference-of-means finds one, not 2. Choose 1"),
        ("difference-of-means", {"against": ()}, "against", "needs prompts of the other side. Write one or more"),
        ("contrast-pca", {"vectors": 3}, "vectors", "2 pairs cannot give 3. Choose fewer, or add more pairs"),
        ("contrast-pca", {"against": (Prompt(" "), Prompt("b"))}, "against", "prompt 1 is empty. Write a text"),
        ("joint", {"against": (Prompt("a"),)}, "against", "joint does not use it. Leave it out, or choose difference"),
        ("joint", {"start": "middle"}, "start", "'middle' is not known. Choose random or jacobian"),
        ("random", {"start": "jacobian"}, "start", "random does not use it. Leave it out, or choose joint, seq"),
        ("jacobian", {"start": "jacobian"}, "start", "jacobian does not use it"),
        (
            "transcoding",
            {"saturation": 0.3},
            "saturation",
            "transcoding does not use it. Leave it out, or choose j",
        ),
        ("joint", {"orthogonality": 5.0}, "orthogonality", "joint does not .* choose soft-theta or soft-delta"),
        ("random", {"agreement": 0.1}, "agreement", "random does not .* sequential, soft-theta or soft-delta"),
        ("contrast-pca", {"seed": 3}, "seed", "contrast-pca does not use it"),
        (
            "joint",
            {"temperature": 0.1},
            "temperature",
            "no effect without agreement. Leave it out, or set agreement ab",
        ),
        ("joint", {"agreement_form": "contrastive"}, "agreement form", "it has no effect without agreement"),
    ],
)
def test_what_a_method_would_leave_unused_or_lacks_is_refused(method, changes, field, part):
    with pytest.raises(InputError, match=part) as caught:
        config(method, **changes)
    assert caught.value.field == field


CHOSEN = {"start": "jacobian", "saturation": 0.1, "orthogonality": 3.0, "agreement": 0.5, "seed": 1, "steps": 3, "p": 4}
OF_AGREEMENT = {"temperature": 0.2, "agreement_form": "contrastive"}


@pytest.fixture(scope="module")
def found():
    """What a training gives, each done once: vectors to the last bit, J, curves and strength."""
    known = {}

    def facts(pieces, setup):
        if setup not in known:
            result = trained(pieces, setup)
            rows = result.vectors.numpy().tobytes()
            known[setup] = (rows, tuple(result.objective), str(result.curves), str(result.strength))
        return known[setup]

    return facts


def small(method, **changes):
    usual = {"vectors": min(2, config(method).vectors), "steps": min(2, config(method).steps)}
    return config(method, **(usual | changes))


def refused(monkeypatch, method, **changes):
    """A configuration, and whether it took a blind eye to get it."""
    try:
        return small(method, **changes), False
    except InputError:
        monkeypatch.setattr(TrainingConfig, "_check_unused", lambda self: None)
        monkeypatch.setattr(TrainingConfig, "_check_method", lambda self: None)
        return small(method, **changes), True


@pytest.mark.parametrize("method", METHOD_DESCRIPTIONS)
def test_an_option_is_refused_where_it_makes_no_difference_and_nowhere_else(pieces, found, method, monkeypatch):
    usual = found(pieces, small(method))
    for option, value in CHOSEN.items():
        with monkeypatch.context() as patched:
            setup, was_refused = refused(patched, method, **{option: value})
            assert (found(pieces, setup) == usual) is was_refused, option
    for option, value in OF_AGREEMENT.items():
        for weight in (0.0, 0.5) if method in ("joint", "soft-theta", "soft-delta") else (0.0,):
            with monkeypatch.context() as patched:
                setup, was_refused = refused(patched, method, agreement=weight, **{option: value})
                same = found(pieces, setup) == found(pieces, small(method, agreement=weight))
                assert same is was_refused is (not weight), option


@pytest.mark.parametrize("method", METHOD_DESCRIPTIONS)
def test_options_written_out_as_usual_are_taken_by_every_method(method):
    share = config(method).saturation_share
    usual = {"start": "random", "orthogonality": 1.0, "agreement": 0.0, "temperature": 0.5, "seed": 0}
    config(method, saturation=share, agreement_form="numerator", **usual)
