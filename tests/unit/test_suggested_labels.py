"""Suggested labels: written from some texts, tested on others, shown where they predict better than other labels."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from benches import listen, save_tiny, settings, shelved

from melbo_app.analysis.auroc import auroc, interval
from melbo_app.errors import InputError, Stopped
from melbo_app.library.bank import PromptRecord
from melbo_app.library.suggested_labels import SuggestedLabel, SuggestedLabelFiles, is_small
from melbo_app.library.tested_label import LEAST_AUROC
from melbo_app.studies.assistants import EndpointAssistant
from melbo_app.studies.label_readers import MOST_ASKED, AssistantReader
from melbo_app.studies.suggest_labels import SuggestLabels, area_of, saying_else, written
from melbo_app.workbench import Workbench


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    draw = np.random.default_rng(0)
    for _ in range(20):
        ours, theirs = (draw.integers(0, 5, size).tolist() for size in draw.integers(1, 9, 2))
        pairs = [1.0 if mine > other else 0.5 if mine == other else 0.0 for mine, other in product(ours, theirs)]
        assert auroc(ours, theirs) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="both groups"):
        auroc([], [1.0])


def test_the_interval_covers_the_true_area_of_normal_scores():
    draw, covered, shift = np.random.default_rng(1), 0, 1.0
    true = 0.7602  # Φ(1/√2)
    for _ in range(400):
        low, high = interval(auroc(draw.normal(shift, 1, 12).tolist(), draw.normal(0, 1, 12).tolist()), 12, 12)
        covered += low <= true <= high
    assert 0.92 <= covered / 400 <= 0.99
    assert interval(0.0, 0, 5) == (0.0, 1.0)
    low, high = interval(1.0, 12, 12)
    assert high == 1.0 and 0.6 < low < 0.95, "groups that do not overlap are no proof"


class Words:
    """A reader for whom a name fits a text as often as its words stand in it, plus what the text alone tells it."""

    name, most = "words", 9

    def __init__(self, taste: dict[str, float] | None = None) -> None:
        self._taste = taste or {}

    def fits(self, names: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        fit = [[sum(text.split().count(word) for word in name.split()) for text in texts] for name in names]
        return np.array(fit, float) + [self._taste.get(text.split()[0], 0.0) for text in texts]


CATS, DOGS, RANDOM = ["a cat sat", "no cat ran"], ["a dog sat", "one dog dog"], ["a tree fell", "no word came"]


def test_a_name_that_fits_the_vectors_texts_holds_and_the_same_name_for_another_vector_does_not():
    area, others = area_of(Words(), ["cat", "dog", "tree"], CATS, RANDOM)
    assert area == 1.0 and max(others) < 1.0
    area, others = area_of(Words(), ["dog", "cat", "tree"], CATS, RANDOM)
    assert area < LEAST_AUROC < max(others)


def test_a_reader_who_likes_the_vectors_texts_whatever_the_name_confirms_none():
    keen = Words({"a": 5.0, "one": 5.0})  # says yes to these texts, whatever is asked
    liked, other = ["a cloud", "one hill"], ["tree", "word"]
    assert area_of(keen, ["moon"], liked, other)[0] == 1.0, "without others to compare with, it would"
    area, others = area_of(keen, ["moon", "star", "sun"], liked, other)
    assert area == 0.5 and set(others) == {0.5}


def test_labels_that_say_the_same_do_not_disprove_each_other():
    places = {"steps": (1.0, 0.0), "a list of steps": (0.8, 0.6), "refuses": (0.1, 0.99), "STEPS": (1.0, 0.0)}
    embedding = SimpleNamespace(embed=lambda names, stop: np.array([places[name] for name in names]))
    assert saying_else(embedding, ["steps", "a list of steps", "refuses", "STEPS"], lambda: False) == {
        "steps": ["refuses"], "a list of steps": ["refuses"], "STEPS": ["refuses"],
        "refuses": ["steps", "a list of steps", "STEPS"],
    }  # fmt: skip
    assert saying_else(embedding, [], lambda: False) == {}

    def missing(names: Sequence[str], stop: object) -> np.ndarray:
        raise InputError("embedder", "its weights are missing", "Install them")

    named = saying_else(SimpleNamespace(embed=missing), ["steps", "a list of steps", "STEPS"], lambda: False)
    assert named["steps"] == ["a list of steps"] and named["a list of steps"] == ["steps", "STEPS"]


class Said:
    """An assistant with set answers."""

    model, parameter_count = "said", None

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = [*answers], []

    def write(self, question: str, tokens: int) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    def agrees(self, questions: Sequence[str]) -> list[float]:
        self.asked += questions
        return [float("cat" in one.split("“")[-1] and "cat" in one.split("answer>")[1]) for one in questions]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ('\n "Talks about cats."\nAnd more', "Talks about cats"),
        ("**Cats:**", "Cats"),
        (" \n ... ", ""),
        ("a\x00b\u202ec", "abc"),
        ("x" * 200, "x" * 80),
    ],
)
def test_the_first_line_with_words_is_the_name(answer, name):
    texts = [SimpleNamespace(text="a\ntext")]
    said = Said(answer)
    assert written(said, SimpleNamespace(user="Who?"), texts, texts) == name
    assert "- a text" in said.asked[0] and "Who?" in said.asked[0]


def test_a_model_reads_each_name_with_each_text():
    reader = AssistantReader(Said(), SimpleNamespace(user="Who?"))
    fits = reader.fits(["cat", "dog"], ["a cat", "a dog", "a tree"])
    assert fits.tolist() == [[1, 0, 0], [0, 0, 0]] and reader.most == MOST_ASKED


def test_an_endpoint_gives_a_number_or_is_refused():
    answers = ["7", " 10 of 10", "0.5", "eleven", "11", ""]
    endpoint = SimpleNamespace(model="far", ask=lambda question, tokens: answers.pop(0))
    far = EndpointAssistant(endpoint, lambda: False)
    assert far.agrees(["a", "b", "c"]) == [7, 10, 0.5]
    for _ in range(3):
        with pytest.raises(InputError, match="is not a number from 0 to 10"):
            far.agrees(["d"])


def _suggestion(**other) -> SuggestedLabel:
    facts = {
        "vector": 1, "name": "cats", "writer": "w", "reader": "r", "auroc": 0.8, "low": 0.6, "high": 0.9,
        "others": (0.5,), "unseen": 12, "radius": 3.0, "prompt": PromptRecord(user="Who?", template=False),
        "temperature": 0.8, "max_new_tokens": 40, "first_seed": 0, "created": datetime.now(UTC),
    }  # fmt: skip
    return SuggestedLabel(**facts | other)


def test_it_holds_where_it_predicts_and_better_than_the_others():
    assert _suggestion().holds
    assert not _suggestion(auroc=0.69).holds
    assert not _suggestion(others=(0.5, 0.8)).holds
    assert is_small(10**8) and not is_small(10**9) and not is_small(None)


def test_the_last_suggestion_for_each_vector_is_kept(tmp_path):
    files = SuggestedLabelFiles(tmp_path)
    for vector, name in ((1, "cats"), (0, "dogs"), (1, "trees")):
        files.add("m", "b", _suggestion(vector=vector, name=name))
    found = SuggestedLabelFiles(tmp_path).of_bank("b")
    assert {at: one.name for at, one in found.items()} == {0: "dogs", 1: "trees"}
    assert SuggestedLabelFiles(tmp_path).of_bank("other") == {}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Workbench:
    folder = tmp_path_factory.mktemp("suggest")
    made = Workbench(settings(folder / "cache", save_tiny(folder / "tiny", max_position_embeddings=2048)))
    shelved(made)
    return made


def test_a_study_writes_tests_and_keeps_its_suggestions(bench):
    study = SuggestLabels(bank="a", vectors=(0, 2), unseen=4).bound(bench.bench)
    heard, found = listen(bench.run(study))
    assert {one.vector for one in found.said} | set(found.unnamed) == {0, 2}
    assert bench.suggested_labels("a") == {one.vector: one for one in found.said}
    assert all(one.parameter_count and one.unseen == 4 and one.low <= one.auroc <= one.high for one in found.said)
    assert 0 < heard[-1].done <= heard[-1].total
    again = listen(bench.run(study))[1]
    facts = {"vector", "name", "auroc", "others"}
    assert [one.model_dump(include=facts) for one in again.said] == [
        one.model_dump(include=facts) for one in found.said
    ]


def test_a_stop_keeps_nothing_half(bench):
    bench.bench.suggested_labels = SuggestedLabelFiles(bench.settings.cache_dir / "others")
    asked = iter(range(10**6))
    with pytest.raises(Stopped):
        listen(bench.run(SuggestLabels(bank="a", unseen=4), stop=lambda: next(asked) > 5))
    assert bench.suggested_labels("a") == {}


@pytest.mark.parametrize(("field", "value"), [("unseen", 3), ("unseen", 65), ("vectors", (9,)), ("bank", "none")])
def test_what_cannot_be_is_refused_in_a_sentence(bench, field, value):
    with pytest.raises(InputError):
        listen(bench.run(SuggestLabels(**{"bank": "a", field: value})))
