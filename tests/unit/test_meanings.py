"""Search by meaning: the nearest stored texts, what is embedded when, and what is read again."""

from typing import Any

import numpy as np
import pytest
from benches import listen, settings
from sqlalchemy import delete
from test_completions import steered

from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.tables import CompletionRow
from melbo_app.studies import search_meaning as module
from melbo_app.studies.search_meaning import SearchMeaning
from melbo_app.workbench import Workbench

TOPICS = ("sea", "bread", "stars")


class Topics:
    """An embedder with known answers: how often a text names each topic, and a little of its length."""

    identity = "topics"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Any) -> np.ndarray:
        self.asked += texts
        rows = [[*(text.count(topic) for topic in TOPICS), 1e-3 * len(text)] for text in texts]
        return np.asarray(rows, dtype=np.float32)


@pytest.fixture
def bench(tmp_path):
    made = Workbench(settings(tmp_path, tmp_path / "no model"))
    vars(made.bench)["embedder"] = Topics()
    return made


def store(bench: Workbench, *texts: str) -> list[int]:
    """Store texts, a comparison each; returns their numbers."""
    made = [bench.bench.completions.add_comparison({"kind": "steer"}, [steered(text=text)]) for text in texts]
    return [one.completions[0].id or 0 for one in made]


def search(bench: Workbench, text: str, **how: Any) -> Any:
    return result_of(bench.run(SearchMeaning(text=text, **how)))


def test_the_nearest_texts_come_first_with_their_cosines(bench):
    ids = store(bench, "bread bread", "stars", "sea sea bread", "sea", "")
    found = search(bench, "sea sea sea")
    assert [one.completion.id for one in found.near] == [ids[3], ids[2], ids[0], ids[1]]  # the empty one has no meaning
    rows = Topics().encode(["sea sea sea", *(one.completion.text for one in found.near)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert [one.cosine for one in found.near] == pytest.approx(rows[1:] @ rows[0], abs=1e-6)
    assert (found.compared, found.left_out) == (4, 0) and found.sentence == "4 texts compared."
    assert len(search(bench, "sea", limit=2).near) == 2


def test_a_text_is_embedded_once_and_the_sentence_is_not_kept(bench):
    store(bench, "sea", "bread", "sea")
    search(bench, "stars"), search(bench, "stars")
    asked = bench.bench.embedder.asked
    assert sorted(asked) == ["bread", "sea", "stars", "stars"]
    again = Workbench(bench.settings)  # another process finds them in the database
    vars(again.bench)["embedder"] = Topics()
    assert search(again, "stars", seconds=0).compared == 2 and again.bench.embedder.asked == ["stars"]
    assert Embeddings(Database(bench.bench.database.path)).find("topics", ["stars"]) == {}


def test_without_time_texts_are_left_out_and_counted(bench, monkeypatch):
    store(bench, *(f"sea {number}" for number in range(5)))
    found = search(bench, "sea", seconds=0)
    assert (found.compared, found.left_out, found.near) == (0, 5, ()) and "5 more have no embedding" in found.sentence
    monkeypatch.setattr(module, "EMBEDDED_AT_ONCE", 2)
    heard, _ = listen(bench.run(SearchMeaning(text="sea"), stop=iter([False, True, True, True]).__next__))
    assert [one.stage for one in heard if one.total > 1] == ["embedding texts, 5 left"]
    found = search(bench, "sea", seconds=0)
    assert (found.compared, found.left_out) == (2, 3)  # a stop keeps what was embedded, the newest first
    assert {one.completion.text for one in found.near} == {"sea 4", "sea 3"}


def test_new_texts_are_appended_and_removed_ones_are_not_found(bench):
    first, second = store(bench, "sea", "bread")
    assert search(bench, "sea").near[0].completion.id == first
    [third] = store(bench, "sea")  # the same text again: the newest completion stands for it
    assert search(bench, "sea").near[0].completion.id == third
    with bench.bench.database.write() as session:
        session.execute(delete(CompletionRow).where(CompletionRow.id == third))
    found = search(bench, "sea")
    assert found.near[0].completion.id == first and found.compared == 2
    with bench.bench.database.write() as session:
        session.execute(delete(CompletionRow).where(CompletionRow.id == second))
    [again] = store(bench, "stars")  # SQLite may give it a number that was used before
    found = search(bench, "stars")
    assert [one.completion.text for one in found.near] == ["stars", "sea"] and found.near[0].completion.id == again


def test_a_damaged_embedding_is_computed_again(bench):
    store(bench, "sea", "bread")
    bench.bench.embeddings.add("topics", {"sea": np.ones(3), "bread": np.ones(4)})
    vars(bench.bench)["embedder"] = Topics()
    found = search(bench, "sea")
    assert found.left_out == 0 and found.compared == 2


def test_texts_are_embedded_at_idle_once_the_embedder_is_there(bench):
    store(bench, "sea", "bread")
    topics = vars(bench.bench).pop("embedder")
    assert bench.embed_texts() == 0
    vars(bench.bench)["embedder"] = topics
    assert bench.embed_texts() == 2 and bench.embed_texts() == 0
    assert search(bench, "sea", seconds=0).compared == 2


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"text": "  "}, "it is empty"),
        ({"text": "a" * 2_000}, "1,000"),
        ({"text": "a", "limit": 0}, "limit"),
        ({"text": "a", "seconds": float("nan")}, "nan is out of range"),
    ],
)
def test_what_cannot_be_searched_is_said(bench, how, sentence):
    with pytest.raises(InputError, match=sentence):
        search(bench, **how)
