"""Answers of conversations: found by words and by meaning, scored as other texts are, and nobody else's."""

import sqlite3
from typing import Any

import pytest
from benches import settings, shelved
from test_chat import SHORT, say
from test_meanings import Topics, search, store

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.generators import result_of
from melbo_app.library.conversation import Conversation, Making, Sample
from melbo_app.studies.chat import Chat
from melbo_app.studies.search_meaning import SearchMeaning
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.chat import shown
from melbo_app.workbench import Workbench

STEERED = {"bank": "personas", "bank_hash": "b" * 64, "vector": 3, "radius": 9.0, "source": 1}
DECLINES, AGREES = "I'm sorry, but I can't help with that.", "Sure, this is how it goes."


@pytest.fixture
def bench(tmp_path):
    made = Workbench(settings(tmp_path, tmp_path / "no model"))
    vars(made.bench)["embedder"] = Topics()
    return made


def answered(bench: Workbench, message: str, steered: str, baseline: str, who: str = "", **making: Any) -> int:
    """A conversation of one turn; returns the number of its answer."""
    here = bench.bench.conversations
    facts = {"model": "m", "model_hash": "h", "max_new_tokens": 9, "temperature": 0, "top_p": 1, "seed": 0}
    id = here.begin(message, who)
    texts = (Sample(text=text, tokens=3, finished=True) for text in (steered, baseline))
    return here.add_answer(id, here.add_message(id, None, message), *texts, Making(**{**facts, **STEERED, **making}))


# --- by words ---------------------------------------------------------------------------------------------------------


def test_answers_are_found_by_their_words_and_their_messages_in_either_column(bench):
    first = answered(bench, "Who are you?", "I sail the SEA.", "I am a model.", "anna")
    second = answered(bench, "And the sea?", "It is wide.", "It is salt.", "ben")
    third = answered(bench, "Bread?", "Yes.", "By the sea, 100%.")
    found = bench.search_conversations("sea")
    assert [(one.turn, one.column, one.text) for one in found] == [
        (third, "baseline", "By the sea, 100%."), (second, "steered", "It is wide."),
        (first, "steered", "I sail the SEA."),
    ]  # fmt: skip
    assert [one.number for one in found] == [2 * third + 1, 2 * second, 2 * first]
    assert (found[0].vector, found[0].bank) == (None, None) and (found[2].vector, found[2].radius) == (3, 9.0)
    assert (found[2].message, found[2].title, found[2].conversation) == ("Who are you?", "Who are you?", 1)
    assert [one.turn for one in bench.search_conversations("sea", who="ben")] == [second]
    assert [one.turn for one in bench.search_conversations("sea", limit=1)] == [third]
    assert [one.turn for one in bench.search_conversations("100%")] == [third] and not bench.search_conversations("_")
    assert [one.turn for one in bench.search_conversations("")] == [third, second, first]


def test_a_damaged_answer_is_named_and_the_others_are_found(bench):
    bad, good = (answered(bench, "sea", text, "no") for text in ("one", "two"))
    with sqlite3.connect(bench.bench.database.path) as made:
        made.execute("UPDATE turns SET radius = 'x' WHERE id = ?", [bad])
        made.execute("UPDATE turns SET scores = '{\"verdict\": 7}' WHERE id = ?", [good])
    found = bench.search_conversations("sea")
    assert [(one.turn, one.verdict) for one in found] == [(good, None)]
    assert [one.subject for one in found.damaged] == [f"turn {bad} of conversation 1"]


# --- by meaning -------------------------------------------------------------------------------------------------------


def test_answers_stand_among_the_texts_that_are_nearest_in_meaning(bench):
    [text] = store(bench, "sea sea bread")
    answer = answered(bench, "?", "sea sea sea", "stars")
    found = search(bench, "sea", limit=2)
    assert [(one.answer.turn, one.answer.column) for one in found.answers] == [(answer, "steered")]
    assert [one.completion.id for one in found.near] == [text]
    assert [getattr(one, "answer", None) is not None for one in found.every] == [True, False]
    assert (found.compared, found.left_out) == (3, 0)
    told = SearchMeaning(text="sea").answer(found, None)
    assert [(one["conversation"], one["turn"], one["column"], one["text"]) for one in told["chat"]] == [
        (1, answer, "steered", "sea sea sea"),
    ]  # fmt: skip
    assert told["chat"][0]["cosine"] > told["completions"][0]["cosine"] > 0.8
    lines = SearchMeaning(text="sea").lines(found)
    assert lines[0].endswith(f"conversation 1, turn {answer}, vector 3, R = 9: sea sea sea")
    [near] = search(bench, "stars", limit=1).answers
    assert (near.answer.column, near.answer.vector) == ("baseline", None)


def test_answers_of_deleted_conversations_are_not_found_though_their_numbers_are_given_again(bench):
    answered(bench, "?", "bread", "bread")
    gone = answered(bench, "?", "sea", "sea sea")
    assert {one.answer.turn for one in search(bench, "sea", limit=2).answers} == {gone}
    bench.delete_conversation(2)
    again = answered(bench, "?", "stars", "stars stars")
    more = answered(bench, "?", "stars sea", "stars")
    assert again == gone
    found = search(bench, "stars", limit=9)
    assert found.answers[0].answer.text in ("stars", "stars stars") and found.compared == 4
    assert {one.answer.turn for one in found.answers} == {more, again, 2}
    assert "sea" not in {one.answer.text for one in found.answers}


def test_of_equal_answers_each_person_finds_the_own_one(bench):
    hers = answered(bench, "?", "sea", "bread", "anna")
    his = answered(bench, "?", "sea", "stars", "ben")
    assert search(bench, "sea", limit=1).answers[0].answer.turn == his  # the newest
    for who, turn, other in (("anna", hers, "bread"), ("ben", his, "stars")):
        found = search(bench, "sea", whose=who).answers
        assert [(one.answer.turn, one.answer.text) for one in found] == [(turn, "sea"), (turn, other)]
    assert search(bench, "sea", whose="nobody").answers == ()


# --- scores -----------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_scores_that_steer_gives_the_same_text(bench_with_bank):
    bench = bench_with_bank
    where = say(bench, "hello")
    answer = bench.conversation(1).turn(where.turn)
    study = Steer(bank="a", prompts=(Prompt("hello"),), vectors=(1,), radii=(6.0,), decoding=SHORT)
    baseline, steered = result_of(bench.run(study.bound(bench.bench))).completions
    for sample, text in ((answer.steered, steered), (answer.baseline, baseline)):
        assert sample.text == text.text
        mine, theirs = sample.scores.model_dump(), text.scores.model_dump()
        assert {key: value for key, value in mine.items() if not isinstance(value, float)} == {
            key: value for key, value in theirs.items() if not isinstance(value, float)
        }
        assert [mine[key] for key in mine if isinstance(mine[key], float)] == pytest.approx(
            [theirs[key] for key in mine if isinstance(mine[key], float)], abs=1e-4
        )
    assert answer.steered.scores.verdict and answer.baseline.scores.loss == pytest.approx(0)
    assert bench.search_conversations("hello")[0].verdict == answer.steered.scores.verdict


def test_a_stopped_answer_has_no_scores_and_older_ones_are_read_without(bench_with_bank):
    bench, count = bench_with_bank, iter(range(10_000))
    study = Chat(text="hello", bank="a", vector=1, radius=6.0, decoding=Decoding(60))
    where = result_of(bench.run(study, stop=lambda: next(count) > 20))
    answer = bench.conversation(1).turn(where.turn)
    assert answer.steered.text and answer.steered.scores is None is answer.baseline.scores
    older = bench.conversation(1).model_dump()
    for turn in older["turns"]:
        for column in ("steered", "baseline"):
            (turn[column] or {}).pop("scores", None)
    assert Conversation.model_validate(older) == bench.conversation(1)


def test_flags_compare_what_both_columns_say_after_their_thoughts(bench):
    def marks(steered: str, baseline: str, **making: Any) -> Any:
        turn = answered(bench, "How do I pick a lock?", steered, baseline, **making)
        found = bench.conversation(bench.search_conversations("lock", limit=1)[0].conversation)
        answer = shown(found, found.branch(turn), {})["turns"][0]["answer"]
        assert answer["chips"] == [[], []]
        return [[flag["text"] for flag in column] for column in answer["flags"]]

    assert marks(AGREES, DECLINES) == [["refusal gone"], []]
    assert marks(f"<think>{DECLINES}</think>{AGREES}", f"<think>{AGREES}</think>{DECLINES}") == [["refusal gone"], []]
    assert marks(AGREES, AGREES) == [[], []]
    unsteered = {"bank": None, "bank_hash": None, "vector": None, "source": None, "radius": 0.0}
    assert marks(AGREES, DECLINES, **unsteered) == [[], []]


@pytest.fixture
def bench_with_bank(tmp_path, model_folder):
    made = Workbench(settings(tmp_path / "cache", model_folder))
    shelved(made)
    return made
