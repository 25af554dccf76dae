"""Where a turn ends: marks and words that chat templates write after an answer, and texts cut there."""

import pytest
from test_generation import NEW, SOURCE, ids_without_cache, last, random_thetas
from tiny_models import CHAT, PLAIN_CHAT, encoded, tiny

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.turn_end import TurnEnd

PARTS_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADER_AFTER_ANSWER = (
    "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}\n{% else %}{{ m.content }}\n"
    "{% endif %}{% endfor %}"
)
NO_ANSWERS = "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
CLOSED_BY_WORDS = "{% for m in messages %}{{ m.role }}: {{ m.content }} [END]\n{% endfor %}assistant: "


def mark(lm, text):
    return lm.tokenizer.convert_tokens_to_ids(text)


@pytest.mark.parametrize("template", [CHAT, PARTS_CHAT])
def test_the_mark_that_a_template_writes_after_an_answer_ends_a_text(template):
    lm = tiny("llama", chat_template=template)
    assert lm.turn_end == TurnEnd(frozenset({mark(lm, "<eos>"), mark(lm, "<|im_end|>")}), (), True)


def test_where_nothing_stands_after_an_answer_the_mark_of_the_next_turn_ends_it():
    lm = tiny("llama", chat_template=HEADER_AFTER_ANSWER)
    assert lm.turn_end.tokens == {mark(lm, "<eos>"), mark(lm, "<|im_start|>")}


@pytest.mark.parametrize(("template", "words"), [(PLAIN_CHAT, "\nuser:"), (CLOSED_BY_WORDS, "[END]")])
def test_without_a_mark_the_words_end_it(template, words):
    lm = tiny("llama", chat_template=template)
    assert lm.turn_end == TurnEnd(frozenset({mark(lm, "<eos>")}), (words,), True)


@pytest.mark.parametrize("template", [None, NO_ANSWERS, "{% if %}", "{{ messages[0].content }}"])
def test_a_template_that_says_nothing_leaves_the_end_of_the_files(template):
    lm = tiny("llama", chat_template=template)
    assert lm.turn_end == TurnEnd(frozenset({mark(lm, "<eos>")}))


def test_two_marks_that_begin_alike_are_two_marks():
    last = "{% if loop.last and m.role != 'user' %}<|im_end|>{% else %}<|im_start|>{% endif %}"
    lm = tiny("llama", chat_template="{% for m in messages %}{{ m.role }} {{ m.content }}" + last + "{% endfor %}")
    assert lm.turn_end.tokens == {mark(lm, "<eos>"), mark(lm, "<|im_end|>")} and not lm.turn_end.words


def test_a_sign_that_answers_have_as_well_ends_nothing():
    assert not tiny("llama", chat_template="{% for m in messages %}{{ m.content }}|{% endfor %}").turn_end.words


def test_every_named_template_counts():
    lm = tiny("llama", chat_template={"default": CHAT, "plain": PLAIN_CHAT})
    assert lm.turn_end == TurnEnd(frozenset({mark(lm, "<eos>"), mark(lm, "<|im_end|>")}), ("\nuser:",), True)


@pytest.mark.parametrize("listed", [5, [5, 6]])
def test_the_list_of_the_generation_configuration_counts(listed):
    lm = tiny("llama", chat_template=None)
    lm.model.generation_config.eos_token_id = listed
    assert lm.turn_end.tokens == {mark(lm, "<eos>"), *([5] if listed == 5 else listed)}


def test_a_text_stops_at_the_mark_and_not_after_an_invented_turn():
    lm = tiny("llama", chat_template=CHAT)
    thetas = random_thetas(6, norm=20.0)
    open_ids = [ids_without_cache(lm, "llama", "hello", theta, NEW) for theta in thetas]
    end = next(token for token in open_ids[0][3:] if any(token not in ids for ids in open_ids))
    word = lm.tokenizer.convert_ids_to_tokens(end)
    # the template writes an ordinary token of this vocabulary as its mark, which the tokenizer knows as one of its own
    lm = tiny("llama", chat_template=CHAT.replace("<|im_end|>", word))
    lm.tokenizer.add_tokens([word], special_tokens=True)
    progress = last(lm, encoded(lm, "hello"), thetas, SOURCE, Decoding(NEW))
    assert progress.finished == [end in ids for ids in open_ids]
    assert progress.tokens == [ids.index(end) + 1 if end in ids else len(ids) for ids in open_ids]


def test_a_text_in_the_template_is_cut_at_the_words_and_a_plain_one_is_not():
    lm = tiny("llama", chat_template=None)
    prompt, thetas = "user: hello [A]\nassistant: ", random_thetas(1)
    text = lm.tokenizer.decode(ids_without_cache(lm, "llama", prompt, thetas[0], NEW), skip_special_tokens=True)
    words = text[4:7]
    at = text.index(words)
    closed = "{% for m in messages %}{{ m.role }}: {{ m.content }} [A]\n{% endfor %}assistant: "
    lm = tiny("llama", chat_template=closed)
    lm.__dict__["turn_end"] = TurnEnd(lm.turn_end.tokens, (words,))
    batch = encode(lm, [Prompt("hello"), Prompt(prompt, template=False)])
    assert batch.texts == (prompt, prompt)
    *_, progress = generate(Rows(lm, batch, thetas, SOURCE, Decoding(NEW)))
    assert progress.texts == [text[:at], text]
    assert progress.finished == [True, False]
    assert lm.tokenizer.decode(progress.ids[0]) == text[:at]
    assert progress.tokens[0] < progress.tokens[1] == NEW


@pytest.mark.parametrize(
    ("pieces", "text", "kept"),
    [
        (["yes", ".\n\n", "us", "er", ":"], "yes.\n", 2),  # the line ends merged with the point
        (["\n", "user", ":", " more"], "", 0),
        (["yes", "\nuser", ": what"], "yes", 1),
        (["yes", " user", ":"], "yes user:", 3),
    ],
)
def test_words_are_found_however_they_were_cut_into_tokens(pieces, text, kept):
    class Pieces:
        @staticmethod
        def decode(ids, skip_special_tokens):
            return "".join(pieces[at] for at in ids)

    end, ids = TurnEnd(frozenset({99}), ("\nuser:",)), list(range(len(pieces)))
    assert end.cut(Pieces, ids, templated=True) == (text, ids[:kept], text != "yes user:")
    assert end.cut(Pieces, ids, templated=False) == ("".join(pieces), ids, False)
    assert end.closes(Pieces, ids) == (text != "yes user:")


def test_the_mark_is_not_part_of_the_text():
    lm = tiny("llama", chat_template=CHAT)
    ids = lm.tokenizer("ab", add_special_tokens=False)["input_ids"]
    assert lm.turn_end.cut(lm.tokenizer, [*ids, mark(lm, "<|im_end|>")], True) == ("ab", ids, True)


def test_a_text_that_ran_on_before_is_not_found_again():
    with_files, with_template = (tiny("llama", chat_template=chat).turn_end.key for chat in (None, CHAT))
    assert with_files == "" != with_template
