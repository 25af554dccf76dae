"""The evidence beside a label: one prompt, one decoding, and the R around the vector's own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.database import Database
from melbo_app.library.evidence import Evidences
from melbo_app.library.patient_completions import PatientCompletions

BANK = "cd" * 32
OWN, SECOND, TYPED = (PromptRecord(user=text) for text in ("How?", "Why?", "مرحبا"))
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Shelf:
    """Comparisons, each a second after the one before."""

    def __init__(self, folder):
        database = Database(folder / "melbo.sqlite")
        self.completions, self.seconds = PatientCompletions(database), 0
        self.evidences = Evidences(database, self.completions)

    def write(self, prompt, radii, *, vector=3, tokens=40, baseline=True, finished=True, text=""):
        self.seconds += 1
        facts: dict[str, Any] = {
            "prompt": prompt, "tokens": 5, "finished": finished, "model": "tiny", "model_hash": "ab" * 32,
            "dtype": "float32", "max_new_tokens": tokens, "temperature": 0.0, "top_p": 1.0, "seed": 0,
            "created": START + timedelta(seconds=self.seconds),
        }  # fmt: skip
        texts = [Completion(text=f"{text} unsteered", **facts)] if baseline else []
        steered = {"bank": "first", "bank_hash": BANK, "source": 7, "vector": vector}
        texts += [Completion(text=f"{text} at {radius:g}", radius=radius, **steered, **facts) for radius in radii]
        return self.completions.add_comparison({}, texts).completions

    def of(self, radius=9.0, prompts=(OWN, SECOND), vector=3):
        return self.evidences.of(BANK, vector, radius, prompts)

    def radii(self, radius=9.0):
        return [one.radius for one in self.of(radius).texts]


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def test_a_vector_without_a_text_has_no_evidence(shelf):
    shelf.write(OWN, [9.0], vector=4)
    assert shelf.of() is None
    assert shelf.evidences.nearest(BANK, {3: 9.0, 5: None}, [OWN]) == {}


def test_the_own_radius_and_its_nearest_neighbours_are_shown(shelf):
    shelf.write(OWN, [1, 4, 6, 9.0001, 13, 16, -9])
    assert shelf.radii() == [6, 9.0001, 13] and shelf.radii(5) == [4, 6] and shelf.radii(99) == [16]
    assert shelf.radii(-9) == [-9]
    found = shelf.of()
    assert [found.is_at_own_radius(one) for one in found.texts] == [False, True, False]


def test_texts_of_the_other_sign_count_only_where_there_is_nothing_else(shelf):
    shelf.write(OWN, [-13, -4])
    assert shelf.radii() == [-4]


def test_the_banks_own_prompt_comes_before_a_newer_text_on_another(shelf):
    first = shelf.write(OWN, [9])
    shelf.write(SECOND, [6, 9, 13])
    shelf.write(TYPED, [6, 9, 13])
    found = shelf.of()
    assert (found.prompt, found.own, found.texts, found.baseline) == (OWN, True, (first[1],), first[0])


def test_a_text_on_another_prompt_is_marked_as_such(shelf):
    shelf.write(SECOND, [9])
    shelf.write(TYPED, [9])
    assert (shelf.of().prompt, shelf.of().own) == (SECOND, True)
    found = shelf.of(prompts=[OWN])
    assert (found.prompt, found.own) == (TYPED, False)


def test_a_prompt_that_a_template_rendered_is_still_the_banks_own(shelf):
    shelf.write(OWN.model_copy(update={"rendered": "<user>How?"}), [9])
    assert shelf.of().own


def test_texts_of_one_prompt_are_together_unless_its_template_made_something_else_of_it(shelf):
    today, tomorrow = (OWN.model_copy(update={"rendered": f"<{day}> How?"}) for day in ("today", "tomorrow"))
    shelf.write(OWN, [6])  # an older record
    shelf.write(today, [9])
    shelf.write(tomorrow, [9, 13])
    assert shelf.radii() == [6, 9, 13] and {one.prompt for one in shelf.of().texts} == {OWN, tomorrow}


def test_decodings_are_not_mixed_and_the_newest_text_at_each_radius_counts(shelf):
    shelf.write(OWN, [6, 9, 13], tokens=40)
    shelf.write(OWN, [9, 13], tokens=60, text="old")
    shelf.write(OWN, [9], tokens=60, text="new", baseline=False)
    found = shelf.of()
    assert [one.text for one in found.texts] == ["new at 9", "old at 13"]
    assert found.baseline.text == "old unsteered"


def test_a_whole_text_comes_before_a_newer_one_that_stop_cut_off(shelf):
    shelf.write(OWN, [9], text="whole")
    shelf.write(OWN, [9], text="cut", finished=False)
    assert [one.text for one in shelf.of().texts] == ["whole at 9"]


def test_a_missing_baseline_is_none(shelf):
    shelf.write(OWN, [9], baseline=False)
    assert shelf.of().baseline is None


def test_an_export_gets_the_text_nearest_to_each_vectors_own_radius(shelf):
    shelf.write(OWN, [6, 8, 13])
    shelf.write(TYPED, [9])
    shelf.write(OWN, [2, 3], vector=5)
    found = shelf.evidences.nearest(BANK, {3: 9.0, 5: None, 6: 9.0}, [OWN])
    assert {vector: (one.prompt, one.radius) for vector, one in found.items()} == {3: (OWN, 8), 5: (OWN, 3)}


def test_the_reversed_vector_and_a_random_one_stand_beside_it_at_its_own_radius(shelf):
    shelf.write(OWN, [6, 9, -6, -9.0001], text="old")
    shelf.write(OWN, [-9], text="new")
    shelf.write(OWN, [-9], text="other", tokens=60, vector=4)
    controls = [(9.0, OWN, "noise"), (6.0, OWN, "weaker"), (9.0, TYPED, "elsewhere")]
    texts = [shelf.of().texts[1].model_copy(update={"id": None})]
    for radius, prompt, text in controls:
        changes = {"radius": radius, "prompt": prompt, "text": text}
        texts.append(texts[0].model_copy(update={"vector": "random", "bank": None, "bank_hash": None, **changes}))
    assert (shelf.of().opposite.text, shelf.of().control) == ("new at -9", None)
    shelf.completions.add_comparison({}, texts)
    assert (shelf.of().control.text, shelf.radii()) == ("noise", [6, 9])
    assert (shelf.of(6.0).opposite.text, shelf.of(6.0).control.text) == ("old at -6", "weaker")
    assert shelf.of(-9).opposite.radius == 9
