"""Searching and filtering: what a person wrote or read is found again, and nothing is taken for a pattern."""

from datetime import UTC, datetime

import numpy as np
import pytest
from test_completions import SCORES, baseline, steered

from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.labels import Labels
from melbo_app.library.search import search


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "melbo.sqlite")


@pytest.fixture
def completions(database):
    found = Completions(database)
    found.add_comparison({}, [
        baseline(text="I am a model."), steered(vector=0, text="Arr, a Pirate! 100% true"),
        steered(vector=1, text="nothing", scores=SCORES, prompt=PromptRecord(user="Are you a pirate_king?")),
        steered(vector=1, text="Arr", bank_hash="ee" * 32, scores=SCORES.model_copy(update={"verdict": "broken"})),
    ])  # fmt: skip
    return found


@pytest.fixture
def labels(database):
    found = Labels(database)
    found.save("first", "h1", 0, name="Pirates", tags=["sea"], rating=5, note="")
    found.save("first", "h1", 1, name="recipes", tags=["food", "list"], rating=2, note="under pirates' rule")
    found.save("second", "h2", 0, name="", tags=["sea dog"], rating=None, note="50_50")
    return found


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ({"text": "PIRATE"}, ["nothing", "Arr, a Pirate! 100% true"]),
        ({"text": "100%"}, ["Arr, a Pirate! 100% true"]),
        ({"text": "1%0"}, []),
        ({"text": "pirate_"}, ["nothing"]),
        ({"text": "' OR 1=1 --"}, []),
        ({}, ["Arr", "nothing", "Arr, a Pirate! 100% true", "I am a model."]),
        ({"limit": 2}, ["Arr", "nothing"]),
        ({"verdict": "broken"}, ["Arr"]),
        ({"bank_hash": "cd" * 32}, ["nothing", "Arr, a Pirate! 100% true"]),
        ({"bank_hash": "cd" * 32, "vector": 1}, ["nothing"]),
        ({"text": "arr", "vector": 1}, ["Arr"]),
    ],
)
def test_completions_are_found_newest_first(completions, asked, texts):
    assert [found.text for found in completions.search(**asked)] == texts


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"text": "pirates"}, ["Pirates", "recipes"]),
        ({"text": "FOOD"}, ["recipes"]),
        ({"text": "second"}, [""]),
        ({"text": "50_5"}, [""]),
        ({"text": "5__5"}, []),
        ({"tag": "sea"}, ["Pirates"]),
        ({"rating": 2}, ["Pirates", "recipes"]),
        ({"rating": 3, "text": "pirates"}, ["Pirates"]),
        ({"limit": 1}, ["Pirates"]),
    ],
)
def test_labels_are_found_by_bank_and_vector(labels, asked, names):
    assert [found.name for found in labels.search(**asked)] == names


def test_labels_are_found_as_they_were_saved_with_all_their_tags(labels):
    found = labels.search()
    assert [label.tags for label in found] == [("sea",), ("food", "list"), ("sea dog",)]
    assert found == labels.all() == [labels.get(label.bank, label.bank_hash, label.vector) for label in found]
    assert labels.search(tag="food") == [labels.get("first", "h1", 1)]


def test_one_search_looks_everywhere(tmp_path, database, completions, labels):
    catalogue = Catalogue(database)
    banks = Banks(tmp_path / "banks", tmp_path / "samples", catalogue)
    for number, (name, prompt) in enumerate([("ships", "Who sails?"), ("words", "A pirate?"), ("pirates", "Who?")]):
        record = BankRecord(
            name=name, model="tiny", model_hash="ab" * 32, hidden_size=2, source=1, radius=1.0, method="joint",
            prompts=[PromptRecord(user=prompt)], created=datetime(2026, 11, 1 + number, tzinfo=UTC),
        )  # fmt: skip
        banks.save(Bank(record, np.ones((1, 2), np.float32) * (number + 1)))
    found = search("Pirate", banks, catalogue, labels, completions, 20)
    assert [line.name for line in found.banks] == ["pirates", "words"]
    assert [label.name for label in found.labels] == ["Pirates", "recipes"]
    assert [one.text for one in found.completions] == ["nothing", "Arr, a Pirate! 100% true"]
    one = search("Pirate", banks, catalogue, labels, completions, 1)
    assert (len(one.banks), len(one.labels), len(one.completions)) == (1, 1, 1)
    assert search("tiny", banks, catalogue, labels, completions, 5).banks == [
        line for line in banks.list() if not line.sample
    ]
