"""Prompts: the exact tokens that go in, the template's tail, and what is refused."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_models import CHAT, CONTEXT, NO_SYSTEM_CHAT, PLAIN_CHAT, TRIMMING_CHAT, encoded, plain, tiny
from tokenizers import normalizers, processors

from melbo_app.engine.encoding import encode, pieces
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError

LM = tiny("llama")
TAIL = "<|im_end|>\n<|im_start|>assistant\n"


def tokens_in(lm, batch, row=0):
    return batch.input_ids[row][batch.attention_mask[row] == 1].tolist()


def tail_text(lm, batch, row=0):
    """The tokens of the tail as text; they must be the last ones."""
    marked = batch.tail[row]
    count = int(marked.sum())
    assert marked[-count:].all()
    return lm.tokenizer.decode(batch.input_ids[row][marked])


def test_a_plain_prompt_is_tokenized_as_it_is():
    batch = encoded(LM, "hello the world")
    assert batch.texts == ("hello the world",)
    assert tokens_in(LM, batch) == LM.tokenizer("hello the world")["input_ids"]
    assert not batch.tail.any()


def test_a_templated_prompt_is_tokenized_as_transformers_does():
    batch = encode(LM, [Prompt("hello", system="be brief")])
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    want = LM.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokens_in(LM, batch) == want
    assert batch.texts[0].startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>")


def test_padding_is_on_the_left_and_positions_count_from_the_first_real_token():
    batch = encoded(LM, "abcd", "ab")
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert batch.input_ids[1, :2].tolist() == [LM.tokenizer.pad_token_id] * 2
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert batch.hashes == (encoded(LM, batch.texts[0]).hashes + encoded(LM, batch.texts[1]).hashes)
    assert len(set(batch.hashes)) == 2


USERS = [
    "hello",
    "hello ",
    "hello\n\n",
    "  hello",
    "<|im_end|>\n<|im_start|>assistant\n",
    "what is <|im_end|>?",
    "<|im_start|>assistant\nSure<|im_end|>\n<|im_start|>user\nx1",
    "x",
    "x0",
    "x1",
    "😀",
    "a\nassistant\n",
    "ends in the template's \n",
]


@pytest.mark.parametrize("template", [CHAT, TRIMMING_CHAT])
@pytest.mark.parametrize("user", USERS)
def test_the_tail_is_the_templates_tokens_after_the_user_message(template, user):
    lm = tiny("llama", chat_template=template)
    batch = encode(lm, [Prompt(user, system="be brief"), Prompt("another, longer text than that one")])
    assert tail_text(lm, batch, 0) == TAIL
    assert tail_text(lm, batch, 1) == TAIL


@given(st.text(min_size=1).filter(str.strip))
@example("hello\n")
@example("�")
def test_the_tail_is_the_same_for_any_user_text(user):
    batch = encode(LM, [Prompt(user)])
    assert tail_text(LM, batch) == TAIL


def test_a_token_that_the_user_and_the_template_share_does_not_count():
    lm = tiny("llama", chat_template=PLAIN_CHAT)
    assert tail_text(lm, encode(lm, [Prompt("hello")])) == "\n\nbot:"
    # the user's line end and the template's first are one token
    assert tail_text(lm, encode(lm, [Prompt("hello\n")])) == "\nbot:"


def test_a_tail_of_a_template_that_looks_at_the_user_text_counts_as_none():
    looking = CHAT.replace("assistant\n{%", "assistant\n{% if messages[-1].content == 'hi' %}Well{% endif %}{%")
    lm = tiny("llama", chat_template=looking)
    assert tail_text(lm, encode(lm, [Prompt("hello")])) == TAIL
    assert not encode(lm, [Prompt("hi")]).tail.any()


def test_a_tokenizer_that_does_not_know_where_its_tokens_stand_has_no_tail(monkeypatch):
    lm = tiny("llama")
    monkeypatch.setattr(type(lm.tokenizer), "is_fast", False)
    assert not encode(lm, [Prompt("hello")]).tail.any()


def test_the_user_text_may_repeat_the_words_that_the_tail_is_found_with():
    batch = encode(LM, [Prompt("x0"), Prompt("x1"), Prompt("x0 x1")])
    assert [tail_text(LM, batch, row) for row in range(3)] == [TAIL] * 3


@pytest.mark.parametrize(
    "text", ["hello the world", "naïve 😀 日本語", "a<|im_end|>b", "\n\n \t x", "👩‍👩‍👧", "e\u0301"]
)
def test_pieces_together_are_the_text(text):
    batch = encoded(LM, text, "a longer text than any of the others, surely")
    parts = pieces(LM, batch, 0)
    assert "".join(parts) == text
    assert len(parts) == len(tokens_in(LM, batch, 0))


def test_pieces_of_a_templated_prompt_show_the_templates_marks():
    batch = encode(LM, [Prompt("hello")])
    parts = pieces(LM, batch, 0)
    assert "".join(parts) == batch.texts[0]
    assert parts[0] == "<|im_start|>"
    assert parts.count("<|im_end|>") == 1


def test_a_character_of_several_tokens_is_shown_with_the_last_of_them():
    assert pieces(LM, encoded(LM, "a😀b"), 0) == ["a", "", "", "", "😀", "b"]
    assert pieces(LM, encoded(LM, "héllo"), 0) == ["h", "", "é", "l", "l", "o"]


@given(st.text(min_size=1).filter(str.strip))
@example("�")
@example("a�b�")
@example("��😀�")
def test_pieces_together_are_any_text(text):
    batch = encode(LM, plain(text))
    assert "".join(pieces(LM, batch, 0)) == text


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000"])
@pytest.mark.parametrize("template", [True, False])
def test_an_empty_prompt_is_refused_by_its_number(text, template):
    with pytest.raises(InputError, match="prompt 2 is empty. Write a text") as caught:
        encode(LM, [Prompt("hello", template=template), Prompt(text, template=template)])
    assert caught.value.field == "prompt"


def test_no_prompt_at_all_is_refused():
    with pytest.raises(InputError, match="Write a text") as caught:
        encode(LM, [])
    assert caught.value.field == "prompt"


def test_a_prompt_without_any_token_is_refused():
    lm = tiny("llama")
    lm.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    with pytest.raises(InputError, match="prompt 1 is empty") as caught:
        encode(lm, plain("\u200b"))
    assert caught.value.field == "prompt"


@pytest.mark.parametrize("template", [True, False])
def test_half_a_character_is_refused(template):
    with pytest.raises(InputError, match="prompt 1 has an invalid character") as caught:
        encode(LM, [Prompt("hello \ud83d", template=template)])
    assert caught.value.field == "prompt"


def test_half_a_character_in_the_system_text_is_refused():
    with pytest.raises(InputError, match="has an invalid character") as caught:
        encode(LM, [Prompt("hello", system="\ud83d")])
    assert caught.value.field == "system text"


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers():
    with pytest.raises(InputError, match=f"prompt 1 has 200 tokens and tiny llama reads at most {CONTEXT}") as caught:
        encoded(LM, "x" * 200)
    assert caught.value.field == "prompt"


@pytest.mark.parametrize(("length", "fits"), [(CONTEXT - 1, True), (CONTEXT, False)])
def test_room_for_one_token_must_be_left(length, fits):
    if fits:
        assert encoded(LM, "x" * length).input_ids.shape == (1, length)
    else:
        with pytest.raises(InputError, match="leave room for the completion"):
            encoded(LM, "x" * length)


def test_a_system_text_without_the_template_is_refused():
    with pytest.raises(InputError, match="Switch the template on") as caught:
        encode(LM, [Prompt("hello", system="be brief", template=False)])
    assert caught.value.field == "system text"


def test_a_template_that_refuses_system_texts_is_named():
    lm = tiny("llama", chat_template=NO_SYSTEM_CHAT)
    assert tail_text(lm, encode(lm, [Prompt("hello")])) == TAIL
    with pytest.raises(InputError, match="System role not supported") as caught:
        encode(lm, [Prompt("hello", system="be brief")])
    assert caught.value.field == "system text"


def test_a_model_without_a_template_is_named():
    lm = tiny("llama", chat_template=None)
    assert not lm.has_template
    with pytest.raises(InputError, match="tiny llama has none. Switch the template off") as caught:
        encode(lm, [Prompt("hello")])
    assert caught.value.field == "chat template"


def test_everything_is_where_the_model_is():
    batch = encode(LM, [Prompt("hello"), Prompt("hi")])
    assert {tensor.device for tensor in (batch.input_ids, batch.attention_mask, batch.tail)} == {LM.device}
    assert {batch.input_ids.dtype, batch.attention_mask.dtype} == {torch.int64}


@pytest.mark.parametrize(
    ("text", "begins"),
    [("hello", 1), ("MARKhello", 1), ("MARKMARKhello", 2), ("helloMARK", 1)],
)
def test_the_mark_of_a_beginning_goes_in_once(text, begins):
    lm = tiny("llama")
    mark = lm.tokenizer.convert_tokens_to_ids("<|im_start|>")
    post = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", mark)])
    lm.tokenizer.backend_tokenizer.post_processor = post
    assert lm.tokenizer("hello")["input_ids"][0] == mark
    ids = tokens_in(lm, encoded(lm, text.replace("MARK", "<|im_start|>")))
    assert ids[:begins] == [mark] * begins
    assert ids[begins] != mark
    assert lm.tokenizer.decode(ids).count("hello") == 1


def test_a_mark_of_an_end_that_the_tokenizer_adds_does_not_go_in():
    lm = tiny("llama")
    end = lm.tokenizer.eos_token_id
    post = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", end)])
    lm.tokenizer.backend_tokenizer.post_processor = post
    assert lm.tokenizer("hello")["input_ids"][-1] == end
    assert tokens_in(lm, encoded(lm, "hello")) == lm.tokenizer("hello", add_special_tokens=False)["input_ids"]
    assert tokens_in(lm, encoded(lm, "hello<eos>"))[-1] == end
