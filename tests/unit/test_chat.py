"""Chat: a conversation in the template of the model, two columns with histories of their own, a tree that keeps all."""

import sqlite3
from datetime import date

import gradio as gr
import pytest
import torch
from benches import listen, save_tiny, settings, shelved
from tiny_models import BLOCKS, CHAT, tiny

from melbo_app.engine.chat_prompt import ChatPrompt, said
from melbo_app.engine.chat_template import render, thinking
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.conversations import Conversations
from melbo_app.library.database import Database
from melbo_app.studies.chat import Chat
from melbo_app.ui.page import Page
from melbo_app.workbench import Workbench

SHORT = Decoding(5)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] | trim }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
FORGETFUL = CHAT.replace("for message in messages", "for message in messages[-1:]")
ALONE = "{% if messages | length > 1 %}{{ raise_exception('one message') }}{% endif %}" + CHAT


def say(bench, text=None, **asked):
    """Where the answer is; the bank's vector 1 at R 6 steers it unless said otherwise."""
    steered = {"bank": "a", "vector": 1, "radius": 6.0, "decoding": SHORT}
    return result_of(bench.run(Chat(text=text, **{**steered, **asked})))


@pytest.fixture
def chatting(bench):
    shelved(bench)
    return bench


# --- the prompt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [CHAT, THINKING])
@pytest.mark.parametrize("system", [None, "hey"])
def test_a_conversation_is_rendered_as_transformers_does(template, system):
    lm = tiny("llama", chat_template=template)
    earlier = (("hi", "<think>?</think>\n\nhm"), ("hi", ""), ("q", "z"))
    prompt = ChatPrompt("go", system, earlier=earlier)
    messages = [{"role": "system", "content": system}] if system else []
    for user, answer in earlier:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": "go"})
    expected = lm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert render(lm, prompt).text == expected
    encoded = encode(lm, [prompt])
    tokenized = lm.tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    assert encoded.input_ids[0].tolist() == tokenized
    tail = lm.tokenizer("<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    assert encoded.tail[0].sum() == len(tail) and encoded.tail[0, -len(tail) :].all()  # after the last message alone


@pytest.mark.parametrize(
    ("template", "problem"), [(FORGETFUL, "leaves part of it out"), (ALONE, "refuses it .one message.")]
)
def test_a_template_that_cannot_hold_a_conversation_is_refused(template, problem):
    lm = tiny("llama", chat_template=template)
    assert "more" in render(lm, ChatPrompt("more")).text
    with pytest.raises(InputError, match=f"^conversation: the chat template of tiny llama {problem}"):
        render(lm, ChatPrompt("more", earlier=(("hello", "hi"),)))


def test_thinking_is_switched_where_the_template_offers_it(tmp_path):
    lm = tiny("llama", chat_template=THINKING)
    assert thinking(lm.tokenizer, True) == "enable_thinking" and thinking(lm.tokenizer, False) is None
    assert thinking(tiny("llama").tokenizer, True) is None
    assert said("<think>hm\n</think>\n\nyes") == said("hm</think>yes") == said(" yes") == "yes"
    model = save_tiny(tmp_path / "tiny")
    (model / "chat_template.jinja").write_text(THINKING, "utf-8")
    bench = Workbench(settings(tmp_path / "cache", model))
    assert not bench.can_think(True)  # not loaded
    bench.load_model()
    assert bench.can_think(True) and bench.can_think("enable_thinking=true") and not bench.can_think(False)
    with gr.Blocks():
        page = Page(bench)
    assert [page.chat._writing(None, template)["thinks"] for template in ("on", "off")] == [True, False]
    where = say(bench, "hello", vector=None, think=False)
    again = say(bench, conversation=where.conversation, message=1, vector=None, think=True)
    found = bench.conversation(where.conversation)
    made = [found.turn(one.turn).making.template for one in (where, again)]
    assert made == ["enable_thinking=false", "enable_thinking=true"]
    assert found.turn(where.turn).steered != found.turn(again.turn).steered


# --- one answer ------------------------------------------------------------------------------------------------------


def greedy(lm, text, theta=None, source=None, tokens=5):
    """The text after ``text``, with ``theta`` added to the output of block ``source``, without cache and batch."""

    def add(module, args, output):
        return (output[0] + theta, *output[1:]) if isinstance(output, tuple) else output + theta

    hook = None if theta is None else lm.model.model.layers[source].register_forward_hook(add)
    ids = lm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    begin = ids.shape[1]
    with torch.no_grad():
        for _ in range(tokens):
            ids = torch.cat([ids, lm.model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
            if ids[0, -1] in lm.turn_end.tokens:
                ids = ids[:, :-1]
                break
    if hook is not None:
        hook.remove()
    return lm.tokenizer.decode(ids[0, begin:])


def test_each_column_goes_on_from_its_own_answers_and_is_steered_as_by_a_plain_hook(chatting):
    first = say(chatting, "hello")
    second = say(chatting, "and?", conversation=first.conversation, parent=first.turn, vector=2, radius=-7.0)
    lm, bank = chatting.bench.model.get(), chatting.bank("a")
    one, two = (chatting.conversation(1).turn(where.turn) for where in (first, second))
    assert [(turn.making.vector, turn.making.radius) for turn in (one, two)] == [(1, 6.0), (2, -7.0)]

    def theta(vector, radius):
        row = torch.tensor(bank.vectors[vector])
        return radius * row / row.norm()

    def asked(*texts):
        roles = ["user" if place % 2 == 0 else "assistant" for place in range(len(texts))]
        written = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        return lm.tokenizer.apply_chat_template(written, tokenize=False, add_generation_prompt=True)

    source = bank.record.source
    assert 0 <= source < BLOCKS and one.steered.text != one.baseline.text
    assert one.steered.text == greedy(lm, asked("hello"), theta(1, 6.0), source)
    assert one.baseline.text == greedy(lm, asked("hello"))
    assert two.steered.text == greedy(lm, asked("hello", one.steered.text, "and?"), theta(2, -7.0), source)
    assert two.baseline.text == greedy(lm, asked("hello", one.baseline.text, "and?"))


def test_without_a_vector_both_columns_say_the_same_to_the_same(chatting):
    for asked in ({"vector": None}, {"radius": 0.0}):
        turn = chatting.conversation((where := say(chatting, "hello", **asked)).conversation).turn(where.turn)
        assert turn.steered == turn.baseline
        assert (turn.making.vector, turn.making.bank_hash, turn.making.radius, turn.making.source) == (
            None, None, 0.0, None,
        )  # fmt: skip


def test_without_r_a_vector_has_its_own_norm(chatting):
    where = say(chatting, "hello", radius=None)
    assert chatting.conversation(1).turn(where.turn).making.radius == chatting.bank("a").norms[1]


def test_texts_stream_and_a_stop_keeps_what_is_written(chatting):
    asked = iter(range(10_000))
    study = Chat(text="hello", bank="a", vector=1, radius=6.0, decoding=Decoding(60))
    heard, where = listen(chatting.run(study, stop=lambda: next(asked) > 20))
    assert heard[-1].steered and heard[-1].conversation == where.conversation
    turn = chatting.conversation(where.conversation).turn(where.turn)
    assert 0 < turn.steered.tokens < 60 and not turn.steered.finished


def test_a_page_that_is_left_keeps_what_is_written_and_a_stop_before_it_the_message(chatting):
    work = chatting.run(Chat(text="hello", bank="a", vector=1, radius=6.0, decoding=Decoding(60)))
    for step in work:
        if step.steered:
            break
    work.close()
    [message, answer] = chatting.conversation(1).shown
    assert answer.parent == message.id and answer.steered.text.startswith(step.steered[:1])
    with pytest.raises(Stopped, match="the message is kept"):
        result_of(chatting.run(Chat(text="hello", decoding=SHORT), stop=lambda: True))
    [message] = chatting.conversation(2).shown
    where = say(chatting, conversation=2, message=message.id)
    assert [turn.id for turn in chatting.conversation(2).shown] == [message.id, where.turn]


def test_the_day_that_a_template_writes_is_kept_with_the_answer(tmp_path):
    model = save_tiny(tmp_path / "tiny", chat_template="{{ strftime_now('%d %b %Y') }}\n" + CHAT)
    bench = Workbench(settings(tmp_path / "cache", model))
    where = say(bench, "hello", vector=None)
    assert bench.conversation(1).turn(where.turn).making.template == f"date={date.today().isoformat()}"


def test_what_does_not_fit_is_a_sentence_and_nothing_is_kept(chatting):
    where = say(chatting, "hello")
    went = {"conversation": where.conversation, "parent": where.turn}
    for asked, sentence in [
        ({"text": " "}, "message: it is empty"),
        ({"text": "x" * 130, **went}, "conversation: it has 1.. tokens, and with 5 new ones it exceeds the 128"),
        ({"text": "hi", **went, "template": False}, "chat template: it is off, and a conversation needs it"),
        ({"text": "hi", **went, "vector": 3}, "vector: the bank has no vector 3"),
        ({"text": "hi", **went, "radius": float("inf")}, "R: inf cannot be used"),
        ({"text": "hi", "conversation": 9}, "conversation: it no longer exists"),
        ({"text": "hi", "conversation": 1, "parent": 1}, "turn: the conversation has no answer 1"),
        ({"text": None, "conversation": 1, "message": 2}, "turn: the conversation has no message 2"),
        ({"text": "hi", "parent": 1}, "conversation: it is missing"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=f"^{sentence}"):
            say(chatting, **asked)
    assert len(chatting.conversations()) == 1 and len(chatting.conversation(1).turns) == 2


def test_a_model_without_a_template_says_that_chat_needs_one(tmp_path):
    bench = Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "tiny", chat_template=None)))
    with pytest.raises(InputError, match="^chat: tiny has no chat template, .* Load a model that was trained to chat"):
        say(bench, "hello", vector=None)
    assert bench.conversations() == []


# --- the tree --------------------------------------------------------------------------------------------------------


def test_answers_again_get_new_seeds_and_greedy_ones_only_another_vector(chatting):
    sampled = Decoding(5, 0.9, 1.0, 7)
    first = say(chatting, "hello", decoding=sampled)
    again = [say(chatting, conversation=1, message=1, decoding=sampled) for _ in range(2)]
    found = chatting.conversation(1)
    assert [one.making.seed for one in found.versions(found.turn(first.turn))] == [7, 8, 9]
    assert len({one.steered.text for one in found.versions(found.turn(first.turn))}) > 1
    say(chatting, conversation=1, message=1)
    with pytest.raises(InputError, match="^answer: greedy decoding would write the same text again"):
        say(chatting, conversation=1, message=1)
    say(chatting, conversation=1, message=1, radius=-6.0)
    assert len(chatting.conversation(1).versions(found.turn(again[0].turn))) == 5


def test_an_edited_message_begins_a_branch_and_both_can_be_shown_and_continued(chatting):
    one = say(chatting, "hello")
    two = say(chatting, "old", conversation=1, parent=one.turn)
    three = say(chatting, "older", conversation=1, parent=two.turn)
    edited = say(chatting, "new", conversation=1, parent=one.turn)
    found = chatting.conversation(1)
    assert [turn.text for turn in found.shown[::2]] == ["hello", "new"]
    old, new = found.versions(found.shown[2])
    assert (old.text, new.text) == ("old", "new")
    assert [turn.text for turn in chatting.show_branch(1, old.id).shown[::2]] == ["hello", "old", "older"]
    assert chatting.conversation(1).leaf == three.turn
    last = say(chatting, "more", conversation=1, parent=three.turn)
    assert [turn.text for turn in chatting.conversation(1).shown[::2]] == ["hello", "old", "older", "more"]
    assert [turn.text for turn in chatting.show_branch(1, new.id).shown[::2]] == ["hello", "new"]
    assert chatting.conversation(1).end(old.id) == last.turn and chatting.conversation(1).leaf == edited.turn


def test_a_fork_is_a_conversation_of_its_own_up_to_that_turn(chatting):
    one = say(chatting, "hello")
    say(chatting, "more", conversation=1, parent=one.turn)
    made = chatting.fork_conversation(1, one.turn)
    fork = chatting.conversation(made)
    assert fork.title == "hello (fork)" and [turn.role for turn in fork.shown] == ["user", "assistant"]
    assert fork.shown[1].making == chatting.conversation(1).turn(one.turn).making
    say(chatting, "else", conversation=made, parent=fork.shown[1].id)
    chatting.delete_conversation(1)
    assert [turn.text for turn in chatting.conversation(made).shown[::2]] == ["hello", "else"]
    with pytest.raises(InputError, match="it no longer exists"):
        chatting.conversation(1)
    with pytest.raises(InputError, match="has no turn 99"):
        chatting.fork_conversation(made, 99)


def test_conversations_are_there_after_reopening_newest_first_and_under_their_new_titles(chatting):
    one = say(chatting, "hello\n there", who="anna")
    say(chatting, "other", who="ben")
    say(chatting, "more", conversation=1, parent=one.turn)
    chatting.rename_conversation(1, "  My\nchat ")
    with pytest.raises(InputError, match="title: it is empty"):
        chatting.rename_conversation(1, " ")
    before = chatting.conversation(1)
    reopened = Conversations(Database(chatting.bench.database.path))
    assert [(line.title, line.messages, line.who) for line in reopened.recent(9)] == [
        ("My chat", 2, "anna"), ("other", 1, "ben"),
    ]  # fmt: skip
    assert [line.id for line in reopened.recent(9, "ben")] == [2] and reopened.recent(1)[0].id == 1
    assert reopened.get(1) == before and [turn.text for turn in before.shown[::2]] == ["hello\n there", "more"]


def test_a_damaged_turn_is_named_and_left_out_with_what_follows_on_it(chatting):
    one = say(chatting, "hello")
    two = say(chatting, "more", conversation=1, parent=one.turn)
    say(chatting, "again", conversation=1, parent=two.turn)
    say(chatting, "kept", conversation=1, parent=one.turn)
    made = sqlite3.connect(chatting.bench.database.path)
    made.execute("UPDATE turns SET radius = 'x' WHERE id = ?", [two.turn])
    made.commit()
    made.close()
    found = chatting.conversation(1)
    assert [turn.text for turn in found.turns if turn.role == "user"] == ["hello", "more", "kept"]
    assert [turn.text for turn in found.shown[::2]] == ["hello", "kept"]
    [damage] = chatting.damaged("conversations")
    assert damage.subject == f"turn {two.turn} of conversation 1" and "radius" in damage.problem


def test_conversations_travel_in_a_bundle_and_grow_when_it_comes_again(chatting, tmp_path, model_folder):
    other = Workbench(settings(tmp_path / "other", model_folder))
    one = say(chatting, "hello")
    say(chatting, "left", conversation=1, parent=one.turn)
    say(chatting, "unsteered", vector=None)
    made = chatting.export_bundle(tmp_path / "all.zip")
    assert made.conversations == 2 and chatting.export_bundle(tmp_path / "a.zip", ["a"]).conversations == 1
    merged = other.import_bundle(tmp_path / "all.zip")
    assert merged.conversations == 2 and "2 conversations" in merged.lines()[0]

    def told(bench):
        found = [bench.conversation(line.id) for line in bench.conversations()]
        return {
            one.title: [(turn.key, turn.text, turn.steered, turn.baseline, turn.making) for turn in one.turns]
            for one in found
        }  # fmt: skip

    assert told(other) == told(chatting) and len(other.conversation(1).shown) == 4
    assert other.import_bundle(tmp_path / "all.zip").lines() == ["This library already had everything in it."]
    say(chatting, "right", conversation=1, parent=one.turn)
    chatting.export_bundle(tmp_path / "all.zip", overwrite=True)
    assert other.import_bundle(tmp_path / "all.zip").conversations == 1
    assert told(other) == told(chatting)
    texts = [turn.text for turn in other.conversation(1).turns if turn.role == "user"]
    assert texts == ["hello", "left", "right"]
