"""Token ids that the embedding has no row for: harmless as padding, named where they stand in a prompt."""

import json

import benches
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import KINDS, VOCABULARY, encoded, lent, plain, random_thetas, tiny, tokenizer

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.model import load, prepare
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.suitability import refuse_unsuitable
from melbo_app.engine.unembedding import word_difference
from melbo_app.errors import InputError

TEXTS = ("the heath is wide", "hello")


def with_mark(mark: str = "[PAD]", padding: bool = True):
    """A tokenizer with one token more than the models' embeddings have rows."""
    made = tokenizer()
    made.add_special_tokens({"pad_token": mark}) if padding else made.add_tokens([mark])
    assert made.convert_tokens_to_ids(mark) == VOCABULARY
    return made


def beyond(family: str = "llama", **kind):
    return prepare("mine", "", tiny(family).model, with_mark(**kind))


def texts_of(lm) -> list[list[int]]:
    *_, last = generate(Rows(lm, encoded(lm, *TEXTS), random_thetas(2), 1, Decoding(6)))
    return last.ids


@pytest.mark.parametrize("family", [*KINDS, "opt", "bloom"])
def test_padding_beyond_the_embedding_is_as_good_as_any(family):
    lm, usual = beyond(family), lent(family)
    assert lm.tokenizer.pad_token_id < lm.known_ids
    refuse_unsuitable(lm)
    assert texts_of(lm) == texts_of(usual)
    with torch.no_grad():
        rows = encoded(lm, *TEXTS)
        logits = lm.forward(rows.input_ids, rows.attention_mask, rows.position_ids).logits[:, -1]
        for row, text in zip(logits, TEXTS, strict=True):
            want = usual.model(torch.tensor([usual.tokenizer(text)["input_ids"]])).logits[0, -1]
            torch.testing.assert_close(row, want, atol=1e-4, rtol=0)


def test_a_mark_stands_for_padding_so_that_no_letter_is_lost_from_texts():
    lm = beyond()
    assert lm.tokenizer.pad_token_id in lm.tokenizer.all_special_ids
    assert lm.tokenizer.decode(lm.tokenizer('a!b"c')["input_ids"], skip_special_tokens=True) == 'a!b"c'


def test_padding_and_end_beyond_the_embedding_leave_another_mark():
    made = tokenizer()
    made.add_special_tokens({"pad_token": "[PAD]", "eos_token": "[END]"})
    lm = prepare("mine", "", tiny("llama").model, made)
    assert lm.tokenizer.pad_token_id < lm.known_ids
    refuse_unsuitable(lm)


@pytest.mark.parametrize("where", ["config", "tokenizer", "both"])
def test_a_folder_whose_padding_is_beyond_the_embedding_is_loaded(tmp_path, where):
    folder = benches.save_tiny(tmp_path / "padded")
    if where != "tokenizer":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": VOCABULARY}))
    if where != "config":
        with_mark().save_pretrained(folder)
    lm = load(str(folder), "mine", "", "cpu", "float32")
    refuse_unsuitable(lm)
    assert lm.known_ids == len(load_file(folder / "model.safetensors")["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("the [NEW] heath", template=False),
        Prompt("the [NEW] heath"),
        Prompt("the heath", system="be [NEW]"),
    ],
    ids=["plain", "template", "system"],
)
def test_a_word_beyond_the_embedding_is_named(prompt):
    lm = beyond(mark="[NEW]", padding=False)
    with pytest.raises(
        InputError, match=rf"prompt 2 has the token “\[NEW\]” \({VOCABULARY}\), and the embedding"
    ) as caught:
        encode(lm, [*plain("the heath"), prompt])
    assert caught.value.field == "prompt"
    assert str(lm.known_ids - 1) in str(caught.value)
    encode(lm, plain("the heath"))


def test_a_mark_of_the_template_beyond_the_embedding_is_named():
    made = tokenizer("{% for m in messages %}[TURN]{{ m.content }}{% endfor %}")
    made.add_tokens(["[TURN]"])
    with pytest.raises(InputError, match=r"has the token “\[TURN\]”"):
        encode(prepare("mine", "", tiny("llama").model, made), [Prompt("hello")])


def test_a_direction_of_a_word_beyond_the_output_matrix_is_refused():
    lm = beyond(mark="[NEW]", padding=False)
    with pytest.raises(InputError, match=rf"“\[NEW\]” begins with token {VOCABULARY}") as caught:
        word_difference(lm, "[NEW]", "hello")
    assert caught.value.field == "words"
