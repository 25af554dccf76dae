"""The Python interface: what it steers is what the model itself would say, in anybody's code."""

import numpy as np
import pytest
import torch
from tiny_models import WIDTH, blocks_of, tiny

from melbo_app import api as melbo
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError

PLAIN = Prompt("the heath is wide", template=False)
SHORT = Decoding(8)


@pytest.fixture(scope="module")
def lm():
    own = tiny("llama")
    return melbo.wrap(own.model, own.tokenizer, "mine", "hash")


@pytest.fixture(scope="module")
def bank(lm):
    return melbo.train(lm, PLAIN, source=1, target=2, radius=6.0, vectors=3, steps=3, name="three", scope="all")


def said(lm, theta=None, **options):
    inputs = lm.tokenizer("the heath is wide", return_tensors="pt")
    handle = None
    if theta is not None:
        hook = lambda _module, _args, output: output + theta  # noqa: E731
        handle = blocks_of(lm, "llama")[1].register_forward_hook(hook)
    ids = lm.model.generate(**inputs, max_new_tokens=8, do_sample=False, **options)
    if handle is not None:
        handle.remove()
    return ids.tolist()


def test_the_bank_is_what_was_asked_for(lm, bank):
    np.testing.assert_allclose(np.linalg.norm(bank.vectors, axis=1), 6.0, rtol=1e-5)
    record = bank.record
    assert (record.name, record.source, record.target, record.scope, record.seed) == ("three", 1, 2, "all", 0)
    assert (record.model, record.model_hash, record.hidden_size) == ("mine", "hash", WIDTH)


def test_left_out_settings_are_sensible_and_progress_is_told(lm):
    heard = []
    bank = melbo.train(lm, "hello there", vectors=2, steps=2, progress=heard.append)
    record = bank.record
    assert record.radius == pytest.approx(0.07 * record.median_norm)
    assert record.prompts[0].template is True and record.scope == "assistant"
    assert heard[-1].done == heard[-1].total == 2


def test_generate_inside_the_context_says_what_the_vector_alone_makes_it_say(lm, bank):
    before = said(lm)
    for vector, radius in ((0, None), (2, 15.0), (2, -15.0)):
        row = torch.tensor(bank.vectors[vector])
        theta = row if radius is None else radius * row / row.norm()
        for model in (lm, lm.model):
            with melbo.steer(model, bank, vector, radius=radius):
                inside = said(lm)
            assert inside == said(lm, theta)
    assert said(lm) == before
    assert len({str(before), str(said(lm, 15 * row / row.norm())), str(inside)}) == 3


def test_beams_see_the_vector_as_well(lm, bank):
    theta = torch.tensor(bank.vectors[1])
    with melbo.steer(lm.model, bank, 1):
        inside = said(lm, num_beams=3)
    assert inside == said(lm, theta, num_beams=3)


def test_an_array_steers_each_row_with_its_own_vector(lm, bank):
    rows = np.concatenate([np.zeros((1, WIDTH), dtype=np.float32), 3 * bank.vectors])
    inputs = lm.tokenizer(["the heath is wide"] * 4, return_tensors="pt")
    with melbo.steer(lm.model, rows, source=1):
        ids = lm.model.generate(**inputs, max_new_tokens=8, do_sample=False).tolist()
    alone = [said(lm, torch.tensor(row))[0] for row in rows]
    for together, single in zip(ids, alone, strict=True):
        assert together[: len(single)] == single


def test_completions_are_those_of_the_model_itself(lm, bank):
    found = melbo.complete(lm, PLAIN, bank, [0, 2], 15.0, decoding=SHORT)
    assert [(entry.vector, entry.radius) for entry in found] == [(None, 0.0), (0, 15.0), (2, 15.0)]
    ids = [said(lm)] + [said(lm, 2.5 * torch.tensor(bank.vectors[vector])) for vector in (0, 2)]
    start = len(lm.tokenizer("the heath is wide")["input_ids"])
    expected = [lm.tokenizer.decode(one[0][start:], skip_special_tokens=True) for one in ids]
    assert [entry.text for entry in found] == expected


def test_without_a_bank_there_is_the_baseline(lm):
    [only] = melbo.complete(lm, PLAIN, decoding=SHORT)
    assert only.vector is None and only.text


def test_cosines_are_on_the_banks_own_prompts_unless_others_are_given(lm, bank):
    own, other = melbo.compare(lm, bank, scope="all"), melbo.compare(lm, bank, "something else", scope="all")
    np.testing.assert_allclose(own.theta, np.eye(3), atol=1e-4)
    assert own.delta.shape == (3, 3) and not np.allclose(own.delta, other.delta)


def test_what_was_saved_comes_back(lm, bank, tmp_path):
    path = melbo.save(bank, tmp_path / "kept.safetensors")
    again = melbo.open_bank(path)
    assert again.hash == bank.hash and again.record.name == "kept"
    with pytest.raises(FileExistsError):
        melbo.save(bank, path)
    melbo.save(bank, path, overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda bank: {"vectors": bank.vectors}, "an array does not know its own. Say source=7"),
        (lambda bank: {"vectors": bank.vectors[:, :5], "source": 1}, "the hidden size of LlamaForCausalLM is"),
        (lambda bank: {"vectors": bank, "vector": 3}, "there is no vector 3. Choose from 0 to 2"),
        (lambda bank: {"vectors": bank, "source": 99}, "has no block 99"),
    ],
)
def test_what_cannot_steer_is_refused(lm, bank, arguments, words):
    with pytest.raises(InputError) as refused, melbo.steer(lm.model, **arguments(bank)):
        pass
    assert words in str(refused.value)
    assert not any(block._forward_hooks for block in lm.blocks)


def test_a_context_in_which_nothing_ran_says_so(lm, bank):
    with pytest.raises(RuntimeError, match="nothing was steered"), melbo.steer(lm.model, bank, 0):
        pass
