"""The Python interface: what it steers is what the model itself would say, in anybody's code."""

import shlex

import numpy as np
import pytest
import torch
from tiny_models import WIDTH, blocks_of, tiny
from typer.testing import CliRunner

from melbo_app import api as melbo
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.studies.looks import LOOK_STEPS
from melbo_app.studies.settings_ladder import BUDGET, SAFER

PLAIN = Prompt("the heath is wide", template=False)
SHORT = Decoding(8)


@pytest.fixture(scope="module")
def lm():
    own = tiny("llama")
    return melbo.wrap(own.model, own.tokenizer, "mine", "hash")


@pytest.fixture(scope="module")
def bank(lm):
    return melbo.train(lm, PLAIN, source=1, target=2, radius=6.0, vectors=3, steps=3, name="three", scope="all")


@pytest.fixture(scope="module")
def other():
    """A model of the same shape with other weights."""
    own = tiny("llama", seed=5)
    return melbo.wrap(own.model, own.tokenizer, "other")


class Compiled(torch.nn.Module):
    """What torch.compile makes of a model; the real one takes 15 s to import."""

    def __init__(self, model):
        super().__init__()
        self._orig_mod, self.config = model, model.config


def trained(lm, **changes):
    return melbo.train(lm, PLAIN, **{"source": 1, "target": 2, "radius": 6.0, "vectors": 2, "steps": 2, **changes})


def said(lm, theta=None, **options):
    inputs = lm.tokenizer("the heath is wide", return_tensors="pt")
    handle = None
    if theta is not None:
        hook = lambda _module, _args, output: output + theta  # noqa: E731
        handle = blocks_of(lm, "llama")[1].register_forward_hook(hook)
    ends = [lm.tokenizer.eos_token_id, lm.tokenizer.convert_tokens_to_ids("<|im_end|>")]
    ids = lm.model.generate(**inputs, max_new_tokens=8, do_sample=False, eos_token_id=ends, **options)
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
    assert 0 < record.radius != pytest.approx(0.07 * record.median_norm)
    assert record.saturation in (BUDGET, SAFER) and any("effect budget" in step.note for step in heard)
    assert record.prompts[0].template is True and record.scope == "assistant"
    assert heard[-1].done == heard[-1].total == 2
    assert record.steps <= 2
    given = melbo.train(lm, "hello there", vectors=2, saturation=0.3).record  # R is searched with this budget
    assert given.saturation == 0.3 and given.radius != pytest.approx(0.07 * given.median_norm)
    assert given.steps <= LOOK_STEPS
    given = melbo.train(lm, "hello there", vectors=2, steps=2, relative_radius=0.07).record
    assert given.radius == pytest.approx(0.07 * given.median_norm) and given.saturation >= 0.6


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


def test_a_combined_bank_completes_at_the_norms_of_its_vectors(lm, bank):
    radius = bank.record.radius
    mixed = melbo.combine("join(a[0], 3 * a[0])", {"a": bank})
    once, thrice = melbo.complete(lm, PLAIN, mixed, decoding=SHORT)[1:]
    assert (once.radius, thrice.radius) == pytest.approx((radius, 3 * radius))
    [alike] = melbo.complete(lm, PLAIN, bank, 0, 3 * radius, decoding=SHORT)[1:]
    assert thrice.text == alike.text


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
    with pytest.raises(InputError, match="already exists. Choose another name, or pass overwrite=True"):
        melbo.save(bank, path)
    melbo.save(bank, path, overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda bank: {"vectors": bank.vectors}, "an array has no source layer. Pass source=7"),
        (lambda bank: {"vectors": bank.vectors[:, :5], "source": 1}, "the hidden size of mine is"),
        (lambda bank: {"vectors": bank, "vector": 3}, "vector 3 does not exist. Choose from 0 to 2"),
        (lambda bank: {"vectors": bank, "vector": "0"}, "vector: '0' is not a number"),
        (lambda bank: {"vectors": bank, "vector": 0.5}, "vector: 0.5 is not a whole number"),
        (lambda bank: {"vectors": bank, "radius": float("nan")}, "R: nan cannot be used"),
        (lambda bank: {"vectors": bank, "radius": np.inf}, "R: inf cannot be used"),
        (lambda bank: {"vectors": bank, "radius": "9"}, "radius: '9' is not a number"),
        (lambda bank: {"vectors": np.full(WIDTH, np.nan), "source": 1}, "they hold NaN or infinity"),
        (lambda bank: {"vectors": torch.full((WIDTH,), np.inf), "source": 1}, "they hold NaN or infinity"),
        (lambda bank: {"vectors": bank.vectors[None], "source": 1}, "their shape is [1, 3, 32]"),
        (lambda bank: {"vectors": bank.vectors[:0], "source": 1}, "their shape is [0, 32]"),
        (lambda bank: {"vectors": {7: bank.vectors}, "source": 1}, "vectors: a value of type dict is not an array"),
        (lambda bank: {"vectors": "a.safetensors", "source": 1}, "vectors: 'a.safetensors' is not an array"),
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


# --- gradients, numbers and texts as a notebook has them -------------------------------------------------------------


@pytest.mark.parametrize("method", ["joint", "sequential", "transcoding", "jacobian"])
def test_a_notebook_that_switched_gradients_off_trains_the_same_vectors(lm, method):
    expected = trained(lm, method=method).vectors
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            np.testing.assert_array_equal(trained(lm, method=method).vectors, expected)


def test_the_dtype_left_out_is_that_of_the_environment(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    for wanted in (torch.bfloat16, torch.float32):
        monkeypatch.setenv("MELBO_DTYPE", str(wanted).removeprefix("torch."))
        assert melbo.load(model_folder).dtype == wanted
        assert melbo.load(model_folder, dtype=torch.float64).dtype == torch.float64


def test_a_model_loaded_where_gradients_are_off_can_be_trained_on(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    with torch.inference_mode():
        lm = melbo.load(model_folder, dtype=torch.float32)
        made = tiny("llama")
    assert trained(lm).vectors.shape == (2, WIDTH)
    with pytest.raises(InputError, match="made under torch.inference_mode.*Load it outside"):
        melbo.wrap(made.model, made.tokenizer)


def test_numbers_may_come_from_numpy_and_torch(lm, bank):
    numbers = {"source": np.int64(1), "target": torch.tensor(2), "radius": np.float64(6), "vectors": 2.0}
    numbers |= {"steps": np.int32(2), "seed": np.uint8(0), "p": np.float32(2), "memory_gb": np.float64(1)}
    made, usual = trained(lm, **numbers), trained(lm)
    np.testing.assert_array_equal(made.vectors, usual.vectors)
    assert made.record.command == usual.record.command and "--radius 6.0 " in made.record.command
    whole = np.argsort(-np.arange(3))
    found = melbo.complete(lm, PLAIN, bank, whole[1:], np.linspace(3, 6, 2), decoding=Decoding(np.int64(2)))
    assert [(one.vector, one.radius) for one in found[1:]] == [(1, 3.0), (0, 3.0), (1, 6.0), (0, 6.0)]
    [_, one] = melbo.complete(lm, PLAIN, bank, torch.tensor(1), np.array(9.0), decoding=SHORT)
    assert (one.vector, one.radius) == (1, 9.0)
    with melbo.steer(lm, bank.vectors[1].tolist(), source=np.int64(1), radius=np.float32(9)):
        listed = said(lm)
    with melbo.steer(lm, bank, 1, radius=9):
        assert said(lm) == listed
    assert said(lm) != listed


def test_a_theta_with_gradients_keeps_them(lm, bank):
    theta = torch.tensor(bank.vectors[0], requires_grad=True)
    with melbo.steer(lm, theta, source=1, radius=4):
        lm.model(**lm.tokenizer("hello", return_tensors="pt")).logits.sum().backward()
    assert theta.grad.norm() > 0 and abs(float((theta.grad @ theta).detach())) < 1e-2


def test_texts_of_the_other_side_and_held_out_go_in_as_the_first_prompt_does(lm):
    asked = Prompt("I love it", "be brief")
    made = melbo.train(lm, asked, method="difference-of-means", against="I hate it", held_out=["so so", Prompt("well")])
    record = made.record
    assert [(one.user, one.system, one.template) for one in record.against] == [("I hate it", "be brief", True)]
    assert [(one.user, one.system, one.template) for one in record.held_out] == [
        ("so so", "be brief", True), ("well", None, True),
    ]  # fmt: skip


def test_a_method_that_finds_fewer_vectors_than_eight_is_asked_for_those(lm):
    against = ["no", "never", "not me"]
    for method, count in (("difference-of-means", 1), ("contrast-pca", 3), ("random", 8)):
        sides = {} if method == "random" else {"against": against}
        assert len(melbo.train(lm, ["yes", "always", "me too"], method=method, **sides).vectors) == count


def test_the_prompts_of_a_bank_can_be_asked_again(lm, bank):
    [only] = melbo.complete(lm, bank.record.prompts, decoding=SHORT)
    assert only.prompt == bank.record.prompts[0]


def test_the_command_of_the_record_is_missing_where_no_command_line_says_that(lm):
    against = Prompt(PLAIN.user, "be rude")
    for changes in (
        {"held_out": Prompt("x", "be rude")},
        {"method": "difference-of-means", "against": against, "vectors": 1, "steps": None, "scope": "all"},
    ):
        assert trained(lm, **changes).record.command is None
    mixed = melbo.train(lm, ["x", Prompt("y", template=False)], vectors=1, steps=1, radius=2)
    assert mixed.record.command is None


def test_the_command_of_the_record_trains_the_same_vectors(model_folder, tmp_path, monkeypatch):
    from melbo_app.cli import build

    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    lm = melbo.load(model_folder)
    made = melbo.train(lm, "hello", vectors=2, steps=2, held_out="good bye")
    command = shlex.split(made.record.command)
    result = CliRunner().invoke(build(), command[3:])
    assert result.exit_code == 0, result.output
    kept = Bank.from_bytes((tmp_path / "banks" / "bank.safetensors").read_bytes())
    assert kept.hash == made.hash


# --- which weights ---------------------------------------------------------------------------------------------------


def test_a_bank_of_other_weights_is_refused_everywhere(lm, other, bank):
    refused = [
        lambda: melbo.complete(other, PLAIN, bank),
        lambda: melbo.compare(other, bank, PLAIN),
        lambda: melbo.rank(other, bank),
        lambda: melbo.steer(other, bank, 0).__enter__(),
        lambda: melbo.steer(other.model, bank, 0).__enter__(),
    ]
    for attempt in refused:
        with pytest.raises(InputError, match="“three” was made for other weights .mine. than the loaded"):
            attempt()
    assert not any(block._forward_hooks for block in other.blocks)


def test_weights_are_told_by_what_they_are(lm):
    own, twin, changed = tiny("llama", seed=7), tiny("llama", seed=7), tiny("llama", seed=7)
    with torch.no_grad():
        changed.model.get_input_embeddings().weight[3, 3] += 1
    hashes = [melbo.wrap(one.model, one.tokenizer).weights_hash for one in (own, twin, changed)]
    assert hashes[0] == hashes[1] != hashes[2] and len(hashes[0]) == 64
    assert melbo.wrap(own.model, own.tokenizer, weights_hash="mine").weights_hash == "mine"


# --- what the measurements say ---------------------------------------------------------------------------------------


def test_with_both_signs_each_vector_is_followed_by_itself_the_other_way(lm, bank):
    found = melbo.complete(lm, PLAIN, bank, [1], 9, decoding=Decoding(2), both_signs=True, random_control=True)
    kinds = [(one.vector, one.radius) for one in found]
    assert kinds == [(None, 0.0), ("random", 9.0), ("random", -9.0), (1, 9.0), (1, -9.0)]


def test_memory_is_limited_where_that_is_asked_for(lm):
    with pytest.raises(InputError, match="memory: .* and 1 kB may be used"):
        trained(lm, memory_gb=1e-6)


def test_cosines_are_over_the_content_unless_another_scope_is_asked_for(lm, bank):
    usual, content = melbo.compare(lm, bank), melbo.compare(lm, bank, scope="content")
    assert usual.scope == "content"
    np.testing.assert_array_equal(usual.delta, content.delta)
    assert not np.allclose(usual.delta, melbo.compare(lm, bank, scope="last:1").delta)


def test_nothing_is_measured_of_a_model_that_is_being_steered(lm, bank):
    attempts = [
        lambda: trained(lm),
        lambda: melbo.complete(lm, PLAIN, decoding=SHORT),
        lambda: melbo.compare(lm, bank),
        lambda: melbo.sensitivity(lm, PLAIN),
    ]
    for attempt in attempts:
        for model in (lm, lm.model):
            with pytest.raises(InputError, match="mine is being steered. Leave"), melbo.steer(model, bank, 0):
                attempt()
    assert melbo.complete(lm, PLAIN, decoding=SHORT)


def test_formulas_make_banks_of_banks(lm, bank):
    made = melbo.combine("a[0] - 0.5 * b[1]", {"a": bank, "b": bank}, name="less")
    np.testing.assert_allclose(made.vectors, bank.vectors[:1] - 0.5 * bank.vectors[1:2], rtol=1e-6)
    assert (made.record.name, made.record.source, made.record.parts) == ("less", 1, {"a": bank.hash, "b": bank.hash})
    with pytest.raises(InputError, match="“c” is not one of the banks. Use a, b"):
        melbo.combine("a + c", {"a": bank, "b": bank})
    with pytest.raises(InputError, match="banks: .* is not a Mapping. Give the bank for each"):
        melbo.combine("a", [bank])


def test_vectors_are_ranked_by_strength_and_by_two_words(lm):
    made = trained(lm, method="transcoding", vectors=3)
    assert melbo.rank(lm, made) == list(enumerate(made.record.strength))
    matrix = lm.model.get_output_embeddings().weight.detach().numpy()
    first, second = (lm.tokenizer(word)["input_ids"][0] for word in ("yes", "no"))
    unit = matrix[first] - matrix[second]
    cosines = made.output_directions @ unit / np.linalg.norm(unit)
    found = melbo.rank(lm, made, "yes", "no")
    assert [vector for vector, _ in found] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([value for _, value in found], np.sort(cosines)[::-1], rtol=1e-4)
    with pytest.raises(InputError, match="away: None is not a string"):
        melbo.rank(lm, made, "yes")


def test_layers_are_compared_by_the_singular_values_between_them(lm):
    pairs = melbo.sensitivity(lm, PLAIN, [0, 1], np.array([1, 2]), scope="all", values=2)
    assert [(pair.source, pair.target) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    made = trained(lm, method="jacobian", steps=None, vectors=3, scope="all")
    np.testing.assert_allclose(pairs[-1].values, made.record.strength[::2], rtol=1e-3)
    with torch.no_grad():
        [usual] = melbo.sensitivity(lm, PLAIN, values=1)
    assert (usual.source, usual.target) == (1, 3)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_radius": 0.1}, "R: it is given twice"),
        ({"radius": None, "relative_radius": float("nan")}, "relative R: must be greater than 0, not nan"),
        ({"radius": "9"}, "radius: '9' is not a number"),
        ({"source": "1"}, "source: '1' is not a number"),
        ({"vectors": 2.5}, "vectors: 2.5 is not a whole number"),
        ({"vectors": True}, "vectors: True is not a whole number"),
        ({"steps": 2.5}, "steps: 2.5 is not a whole number"),
        ({"scope": slice(-2, None)}, "scope: slice(-2, None, None) is not a string"),
        ({"method": None}, "method: None is not a string"),
        ({"num_vectors": 3}, "num_vectors: this argument does not exist. Choose from source, target"),
        ({"against": [{"role": "user"}], "method": "contrast-pca"}, "number 1 is {'role': 'user'}, not a string"),
        ({"held_out": 3}, "held_out: 3 is not a string"),
        ({"p": torch.ones(1)}, "p: tensor([1.]) is not a number"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(lm, changes, words):
    with pytest.raises(InputError) as refused:
        trained(lm, **changes)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda lm, bank: melbo.train(lm.model, "x"), "model: a value of type LlamaForCausalLM is not a LanguageModel"),
        (lambda lm, bank: melbo.train(lm, None), "prompts: None is not a string"),
        (lambda lm, bank: melbo.train(lm, []), "prompts: none was given"),
        (lambda lm, bank: melbo.train(lm, {"role": "user"}), "prompts: {'role': 'user'} is not a string"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, bank.vectors), "bank: a value of type ndarray is not a Bank"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, bank, radius="3"), "radius: '3' is not a number"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, bank, radius=np.nan), "R: nan cannot be used"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, bank, [3]), "vector: the bank has no vector 3"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, decoding=10), "decoding: 10 is not a Decoding. Give Decoding(max"),
        (lambda lm, bank: melbo.complete(lm, PLAIN, decoding=Decoding(2.5)), "max_new_tokens: 2.5 is not a whole"),
        (lambda lm, bank: melbo.compare(lm, bank, scope=None), "scope: None is not a string"),
        (lambda lm, bank: melbo.save(bank.vectors, "x"), "bank: a value of type ndarray is not a Bank"),
        (lambda lm, bank: melbo.save(bank, 3), "path: 3 is not a string"),
        (lambda lm, bank: melbo.open_bank("no such file"), "there is no file “no such file”"),
        (lambda lm, bank: melbo.load(None), "model: None is not a string"),
        (lambda lm, bank: melbo.wrap(lm.tokenizer, lm.model), "is not a model. Give a language model of transformers"),
        (lambda lm, bank: melbo.wrap(lm.model, None), "tokenizer: None is not a tokenizer. Give the model first"),
        (lambda lm, bank: melbo.steer(object, bank).__enter__(), "is not a model. Give a language model of"),
        (lambda lm, bank: melbo.steer(Compiled(lm.model), bank).__enter__(), "model: torch.compile skips"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_in_a_sentence(lm, bank, attempt, words):
    with pytest.raises(InputError) as refused:
        attempt(lm, bank)
    assert words in str(refused.value)


def test_a_batch_of_another_number_of_rows_is_refused_in_a_sentence(lm, bank):
    with pytest.raises(InputError, match="3 vectors cannot steer a batch of 1 rows"), melbo.steer(lm.model, bank):
        said(lm)


def test_a_published_file_is_sent_to_the_import(bank, tmp_path):
    torch.save(torch.tensor(bank.vectors), tmp_path / "published.pt")
    with pytest.raises(
        InputError, match="not a MELBO Explorer bank .published MELBO.*python -m melbo_app banks import"
    ):
        melbo.open_bank(tmp_path / "published.pt")
