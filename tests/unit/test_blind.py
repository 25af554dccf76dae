"""Blind comparison: the same pairs for everybody, an order that tells nothing, and what people preferred."""

from datetime import UTC, datetime
from typing import Any

import pytest
from benches import PROMPT, shelved

from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.preferences import Preference, PreferenceFiles
from melbo_app.studies.blind import pairs, standings
from melbo_app.studies.steer import Steer

ASKED: dict[str, Any] = {"bank": "a", "prompts": (PROMPT,), "decoding": Decoding(4), "random_control": True}


@pytest.fixture
def steered(bench):
    shelved(bench)
    result_of(bench.run(Steer(**ASKED, vectors=(0, 1, 2))))
    return bench


def said(vector, choice, who="Ann", against="baseline", text="t"):
    return Preference(
        vector=vector, against=against, choice=choice, who=who, prompt=PromptRecord(user="?"), text=text, other="o",
        radius=6.0, created=datetime.now(UTC),
    )  # fmt: skip


def test_everybody_gets_the_same_pairs_and_not_the_same_order_of_the_two_texts(steered):
    bank = steered.bank("a")
    every = {who: pairs(steered.bench, bank, "random", who) for who in map(str, range(12))}
    vectors = {tuple(one.vector for one in mine) for mine in every.values()}
    assert len(vectors) == 1 and sorted(*vectors) == [0, 1, 2]
    sides = [tuple(one.swapped for one in mine) for mine in every.values()]
    assert len(set(sides)) > 1 and {side for some in sides for side in some} == {True, False}
    assert pairs(steered.bench, bank, "random", "3") == every["3"]
    for one in every["0"]:
        assert (one.text.vector, one.other.vector) == (one.vector, "random") and one.text.radius == one.other.radius
    assert all(one.other.vector is None for one in pairs(steered.bench, bank, "baseline", "0"))


def test_each_person_chooses_once_a_pair_until_none_is_left(steered):
    for place in range(3):
        pair, done, total = steered.next_pair("a", "random", "Ann")
        assert (done, total) == (place, 3)
        steered.prefer("a", pair, "vector" if place else "other", "Ann")
    assert steered.next_pair("a", "random", " Ann ") == (None, 3, 3)
    assert steered.next_pair("a", "random", "Bob")[1:] == (0, 3)
    assert steered.next_pair("a", "baseline", "Ann")[1] == 0
    first = pairs(steered.bench, steered.bank("a"), "random", "Ann")[0]
    steered.prefer("a", first, "tie", "Ann")  # in place of the earlier choice
    found = steered.standings("a", "random")
    assert {(one.preferred, one.other, one.ties, one.both_bad) for one in found} == {(1, 0, 0, 0), (0, 0, 1, 0)}
    assert steered.standings("a", "baseline") == []
    with pytest.raises(InputError, match="your name: it is empty"):
        steered.prefer("a", first, "tie", "  ")


def test_equal_texts_and_missing_ones_make_no_pair(bench):
    shelved(bench)
    assert bench.next_pair("a", "baseline", "Ann") == (None, 0, 0)
    result_of(bench.run(Steer(**{**ASKED, "random_control": False}, vectors=(0, 1))))
    assert bench.next_pair("a", "random", "Ann")[2] == 0
    assert [one.vector for one in pairs(bench.bench, bench.bank("a"), "baseline", "")] != []


def test_standings_count_and_give_wilsons_interval():
    votes = [said(3, "vector", who) for who in "abcd"] + [said(3, "other", "e"), said(3, "tie", "f")]
    votes += [said(1, "both bad"), said(3, "vector", "g", "random")]
    first, second = standings(votes, "baseline")
    assert (first.vector, first.preferred, first.other, first.ties, first.both_bad) == (3, 4, 1, 1, 0)
    assert first.share == 0.8
    assert first.interval == pytest.approx((0.3755, 0.9638), abs=1e-4)  # Wilson (1927) for 4 of 5
    assert (second.vector, second.share, second.interval) == (1, None, (0.0, 1.0))


def test_preferences_are_kept_by_bank_and_a_damaged_file_is_told(tmp_path):
    files = PreferenceFiles(tmp_path)
    files.add("aa" * 32, "bb" * 32, said(0, "tie"))
    files.add("aa" * 32, "cc" * 32, said(1, "vector"))
    files.add("aa" * 32, "bb" * 32, said(2, "other"))
    again = PreferenceFiles(tmp_path)
    assert [one.vector for one in again.of_bank("bb" * 32)] == [0, 2] and len(again.of_bank("cc" * 32)) == 1
    assert again.of_bank("dd" * 32) == ()
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert len(again.damaged()) == 2
