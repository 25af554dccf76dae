"""Completions: kept whole, in order, and found again by exactly what made them."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select, update

from melbo_app.errors import InputError, StorageError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion, CompletionKey, Scores
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.tables import CompletionRow, ModelRow, PromptRow

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SCORES = Scores(
    logprob=-1.25, loss=0.5, kl_prompt=2.0, kl_text=None, repetition=0.1, dictionary_words=None, language="en",
    readability=0.75, verdict="readable", runaway=0.0,
)  # fmt: skip


@pytest.fixture
def completions(tmp_path):
    return Completions(Database(tmp_path / "melbo.sqlite"))


def steered(**changes):
    facts: dict[str, Any] = {
        "bank": "first",
        "vector": 3,
        "radius": -8.5,
        "source": 7,
        "prompt": PromptRecord(user="How?", system="Be kind.", template=True),
        "prompt_index": 1,
        "text": "Like this: 🙂\n",
        "tokens": 5,
        "finished": True,
        "model": "tiny",
        "model_hash": "ab" * 32,
        "bank_hash": "cd" * 32,
        "dtype": "float32",
        "max_new_tokens": 40,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 11,
        "created": NOW,
    }
    return Completion(**(facts | changes))


def baseline(**changes):
    return steered(**{"bank": None, "vector": None, "radius": 0, "source": None, "bank_hash": None, **changes})


def random(**changes):
    return steered(**{"bank": None, "vector": "random", "bank_hash": None, **changes})


def test_a_comparison_comes_back_as_it_was_given(completions):
    given_ones = [baseline(), random(scores=SCORES), steered(), steered(vector=0, scores=SCORES)]
    kept = completions.add_comparison({"radii": [8.5], "bank": None}, given_ones)
    assert completions.comparison(kept.id) == kept
    assert kept.settings == {"radii": [8.5], "bank": None}
    assert [one.model_copy(update={"id": None}) for one in kept.completions] == given_ones
    assert len({one.id for one in kept.completions}) == 4
    for one in kept.completions:
        assert completions.get(one.id) == one


def test_tokens_are_kept_for_a_text_that_can_be_continued_and_not_handed_on(completions):
    begun = steered(finished=False, tokens=40, ids=(5, 49_151, 0, 7))
    [kept] = completions.add_comparison({}, [begun]).completions
    assert completions.find(begun).ids == begun.ids
    assert "ids" not in kept.model_dump() and all(one.completions[0].ids is None for one in completions.kept())
    with completions._database.write() as session:
        session.execute(update(CompletionRow).values(ids=b"\0\1\2"))
    assert completions.find(begun).text == begun.text and completions.find(begun).ids is None  # damaged


def test_a_comparison_that_cannot_be_kept_whole_is_not_kept_at_all(completions, monkeypatch):
    with pytest.raises(TypeError):
        completions.add_comparison({"path": object()}, [steered()])
    with pytest.raises(InputError, match="^comparison: it has no completions"):
        completions.add_comparison({}, [])
    assert completions.recent() == []


def test_the_history_is_newest_first_and_says_what_each_was(completions):
    for number in range(3):
        prompt = PromptRecord(user=f"prompt {number}")
        completions.add_comparison({"vectors": [number]}, [baseline(prompt=prompt), steered(prompt=prompt)])
    completions.add_comparison({}, [baseline()])
    lines = completions.recent(3)
    assert [(line.prompt, line.bank, line.completions) for line in lines] == [
        ("How?", None, 1),
        ("prompt 2", "first", 2),
        ("prompt 1", "first", 2),
    ]
    assert lines[1].settings == {"vectors": [2]}
    assert completions.recent(0) == []


@pytest.mark.parametrize("id", [0, 7, -1, 2**70])
def test_an_unknown_id_is_an_input_error(completions, id):
    with pytest.raises(InputError, match=f"^comparison: there is no comparison {id}"):
        completions.comparison(id)
    with pytest.raises(InputError, match=f"^completion: there is no completion {id}"):
        completions.get(id)


def test_the_same_completion_is_found_and_the_newest_of_several(completions):
    assert completions.find(steered()) is None
    completions.add_comparison({}, [steered(text="old")])
    completions.add_comparison({}, [steered(text="new", prompt_index=0, bank="renamed")])
    found = completions.find(CompletionKey(**steered().model_dump(include=set(CompletionKey.model_fields))))
    assert found.text == "new"


def test_a_text_that_was_cut_off_by_stop_is_not_found_and_hides_no_whole_one(completions):
    completions.add_comparison({}, [steered(text="cut", finished=False, tokens=39)])
    assert completions.find(steered()) is None
    completions.add_comparison({}, [steered(text="ended", finished=True, tokens=12)])
    completions.add_comparison({}, [steered(text="cut", finished=False, tokens=5)])
    assert completions.find(steered()).text == "ended"
    completions.add_comparison({}, [steered(text="full", finished=False, tokens=40)])
    assert completions.find(steered()).text == "full"


CHANGES: list[dict[str, Any]] = [
    {"model_hash": "00" * 32},
    {"dtype": "bfloat16"},
    {"dtype": None},
    {"bank_hash": "00" * 32},
    {"vector": 4},
    {"radius": 8.5},
    {"source": 6},
    {"prompt": PromptRecord(user="How", system="Be kind.")},
    {"prompt": PromptRecord(user="How?", system=None)},
    {"prompt": PromptRecord(user="How?", system="")},
    {"prompt": PromptRecord(user="How?", system="Be kind.", template=False)},
    {"max_new_tokens": 41},
    {"temperature": 0.0},
    {"top_p": 1.0},
    {"seed": 12},
]


@pytest.mark.parametrize("change", CHANGES)
def test_anything_that_may_change_the_text_makes_another_completion(completions, change):
    completions.add_comparison({}, [steered()])
    assert completions.find(steered(**change)) is None


def test_all_keys_differ():
    keys = [baseline().digest, random().digest, steered().digest, *(steered(**change).digest for change in CHANGES)]
    assert len(set(keys)) == len(keys)


def test_a_baseline_is_the_same_for_every_bank():
    assert baseline().digest == baseline(bank="b", bank_hash="00" * 32, source=4, radius=-0.0).digest
    assert baseline().digest != baseline(seed=12).digest


def test_a_random_control_is_what_its_seed_source_and_radius_make_it():
    assert random().digest == random(bank="b", bank_hash="00" * 32).digest
    assert len({one.digest for one in (random(), random(seed=12), random(source=6), random(radius=8.5))}) == 4


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_two_radii_share_a_key_only_if_they_are_equal(one, other):
    assert (steered(radius=one).digest == steered(radius=other).digest) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"vector": None},
        {"vector": -1},
        {"source": None},
        {"bank_hash": None},
        {"radius": float("nan")},
        {"seed": -1},
        {"seed": 2**63},
        {"created": datetime(2026, 11, 21)},
    ],
)
def test_a_completion_with_a_gap_is_refused(change):
    with pytest.raises(ValidationError):
        steered(**change)


def test_scores_are_no_part_of_what_makes_a_text(completions):
    assert steered(scores=SCORES).digest == steered().digest
    completions.add_comparison({}, [steered()])
    assert completions.find(steered(scores=SCORES)).scores is None
    completions.add_comparison({}, [steered(scores=SCORES)])
    assert completions.find(steered()).scores == SCORES


@pytest.mark.parametrize("change", [{"version": 2}, {"mood": "good"}, {"verdict": "nice"}])
def test_scores_by_other_definitions_do_not_count(completions, change):
    kept = completions.add_comparison({}, [steered(scores=SCORES)]).completions[0]
    with completions._database.write() as session:
        row = session.get(CompletionRow, kept.id)
        row.scores = {**row.scores, **change}
    assert completions.get(kept.id) == kept.model_copy(update={"scores": None})


def test_threads_that_add_comparisons_at_once_keep_every_one(completions):
    barrier, failures = threading.Barrier(4), []

    def work(number):
        barrier.wait()
        try:
            for turn in range(5):
                prompt = PromptRecord(user=f"{number}.{turn}")
                kept = completions.add_comparison({}, [steered(prompt=prompt), baseline(prompt=prompt)])
                assert {one.prompt.user for one in completions.comparison(kept.id).completions} == {prompt.user}
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    lines = completions.recent(100)
    assert {line.prompt for line in lines} == {f"{number}.{turn}" for number in range(4) for turn in range(5)}
    assert all(line.completions == 2 for line in lines)


def test_a_database_that_cannot_be_used_is_a_storage_error(tmp_path):
    (tmp_path / "melbo.sqlite").write_bytes(b"my diary" * 1000)
    completions = Completions(Database(tmp_path / "melbo.sqlite"))
    for use in (completions.recent, lambda: completions.get(1), lambda: completions.add_comparison({}, [steered()])):
        with pytest.raises(StorageError, match="library restore"):
            use()


def test_completions_are_found_by_their_numbers_as_far_as_they_exist(completions):
    first = completions.add_comparison({}, [steered(text="old"), steered(vector=4, text="other")])
    for _ in range(3):
        completions.add_comparison({}, [steered(vector=4, text="another")] * 300)
    assert completions.those([10**9, 2, 1]) == list(first.completions)
    assert len(completions.those(range(1, 903))) == 902 and completions.those([]) == []


def test_the_smallest_radius_at_which_a_vector_ran_away_is_known(completions):
    def scored(vector, radius, share, **other):
        return steered(vector=vector, radius=radius, scores=SCORES.model_copy(update={"runaway": share}), **other)

    rows = [
        scored(0, 9.0, 0.0), scored(1, 9.0, 0.25), scored(1, -8.0, 0.5), scored(1, 20.0, 1.0), scored(2, 9.0, None),
        scored(3, 9.0, 0.5, bank_hash="ee" * 32), steered(vector=4), random(radius=90.0), baseline(),
    ]  # fmt: skip
    completions.add_comparison({}, rows)
    assert completions.runaways("cd" * 32) == {1: 8.0}
    assert completions.runaways("00" * 32) == {}


def test_a_runaway_at_another_target_layer_is_not_counted(completions):
    rows = [
        steered(vector=vector, radius=9.0, scores=SCORES.model_copy(update={"runaway": 0.5, "runaway_target": target}))
        for vector, target in enumerate((20, 21, None))
    ]
    completions.add_comparison({}, rows)
    assert completions.runaways("cd" * 32, 21) == {1: 9.0, 2: 9.0}  # what an older version kept does not say where
    assert completions.runaways("cd" * 32) == {0: 9.0, 1: 9.0, 2: 9.0}


def test_the_order_does_not_depend_on_the_clock(completions, monkeypatch):
    class Clock(datetime):
        hour = 23

        @classmethod
        def now(cls, tz=None):
            cls.hour -= 1
            return datetime(2026, 11, 1, cls.hour, tzinfo=tz)

    monkeypatch.setattr("melbo_app.library.completions.datetime", Clock)
    for text in ("first", "second", "third"):
        completions.add_comparison({}, [steered(text=text, created=Clock.now(UTC))])
    assert [line.id for line in completions.recent()] == [3, 2, 1]
    assert completions.find(steered()).text == "third"
    assert [one.text for one in completions.search()] == ["third", "second", "first"]


def test_the_last_of_one_kind_are_found_among_many_of_another(completions):
    for kind in ("map", "steer", "map", "steer", None, "steer"):
        completions.add_comparison({} if kind is None else {"kind": kind}, [steered()])
    assert [line.id for line in completions.recent(kind="map")] == [3, 1]
    assert [line.id for line in completions.recent(2, kind="steer")] == [6, 5]


def test_a_prompt_and_a_model_are_kept_once_and_told_apart(completions):
    prompts = [PromptRecord(user="a"), PromptRecord(user="a", system=""), PromptRecord(user="a", template=False)]
    given = [steered(prompt=prompt, model=model) for prompt in prompts for model in ("m", "n")]
    for _ in range(2):
        kept = completions.add_comparison({}, given)
        assert [(one.prompt, one.model) for one in kept.completions] == [(one.prompt, one.model) for one in given]
        assert completions.comparison(kept.id) == kept
    with completions._database.read() as session:
        assert session.scalar(select(func.count()).select_from(PromptRow)) == 3
        assert session.scalar(select(func.count()).select_from(ModelRow)) == 2


def test_texts_that_differ_in_r_alone_are_found_at_once_and_others_are_not(completions):
    shown = completions.add_comparison({}, [baseline(), steered(radius=8), random(radius=8)])
    completions.add_comparison({}, [steered(radius=12, text="old"), random(radius=12), steered(radius=12, vector=4)])
    completions.add_comparison({}, [steered(radius=12, text="new", prompt_index=0)])
    completions.add_comparison({}, [steered(radius=14, finished=False, tokens=3)])  # cut off by Stop
    for change in CHANGES:
        if not {"radius", "vector"} & change.keys():
            completions.add_comparison({}, [steered(**{"radius": 16, **change})])
    completions.add_comparison({}, [random(radius=18)])  # beside no text of this bank
    found = completions.at_other_radii(shown.completions)
    assert [(one.vector, one.radius, one.text, one.prompt_index) for one in found if one.radius != 16] == [
        ("random", 12, "Like this: 🙂\n", 1),
        (3, 12, "new", 1),
    ]
    assert [one.source for one in found if one.radius == 16] == [6]  # the bank's hash covers its source
    assert not any(one.radius in (8, 14, 18) or one.vector == 4 for one in found)
    assert completions.at_other_radii([baseline(), random()]) == []


def test_the_same_texts_under_the_same_settings_are_the_same_comparison(completions):
    settings = {"kind": "steer", "radii": [8.5]}
    texts = [baseline(), steered()]
    kept = completions.add_comparison(settings, texts)
    completions.add_comparison(settings, [baseline(), steered(vector=4)])
    assert completions.same(settings, texts) == kept
    for other in ([baseline()], [steered(), baseline()], [baseline(), steered(created=datetime.now(UTC))],
                  [baseline(), steered(scores=SCORES)], [baseline(), steered(text="other")]):  # fmt: skip
        assert completions.same(settings, other) is None
    assert completions.same({**settings, "both_signs": True}, texts) is None


def test_what_a_banks_texts_are_like_is_counted_by_r(completions):
    def said(vector, radius, text, verdict="readable", **other):
        return steered(
            vector=vector, radius=radius, text=text, scores=SCORES.model_copy(update={"verdict": verdict}), **other
        )

    rows = [
        baseline(text="no", scores=SCORES), baseline(text="nein", prompt_index=2, scores=SCORES),
        said(0, 9.0, "no"), said(1, 9.0, "yes"), said(2, 9.0, "yes"), said(3, 9.0, "ya ya", "broken"),
        said(0, 9.0, "no", prompt_index=2),  # the other prompt's unsteered text is another one
        said(0, -4.0, "never"), steered(vector=1, radius=-4.0), said(0, 9.0, "maybe", bank_hash="ee" * 32),
        random(radius=9.0, text="noise", scores=SCORES),
    ]  # fmt: skip
    completions.add_comparison({}, rows)
    completions.add_comparison({}, [said(4, 9.0, "alone")])  # without an unsteered text nobody knows whether it changed
    at = [one._asdict() for one in completions.radii("cd" * 32)]
    assert at == [
        {"radius": -4.0, "texts": 1, "readable": 1, "changed": 1, "distinct": 1},
        {"radius": 9.0, "texts": 6, "readable": 5, "changed": 4, "distinct": 4},
    ]
    assert completions.radii("00" * 32) == []
