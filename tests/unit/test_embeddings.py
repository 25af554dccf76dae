"""Embeddings and projections: made once, found by exactly what made them, and never needed."""

import sqlite3
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benches import StubEmbedder
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from test_completions import steered

from melbo_app.analysis.projection import Projection
from melbo_app.engine.stopping import never
from melbo_app.errors import StorageError
from melbo_app.jobs.embedding import embed
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.layouts import Layouts
from melbo_app.library import embeddings as module
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.studies import map as mapping
from melbo_app.studies.map import draw

ROW = np.array([0.1, -2.5, 3e-20], dtype=np.float32)


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "melbo.sqlite")


@pytest.fixture
def embeddings(database):
    return Embeddings(database)


class Counting(StubEmbedder):
    """An embedder that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return super().encode(texts)


def no_layout(*_):
    raise AssertionError("it was laid out again")


def test_an_embedding_comes_back_to_the_bit(embeddings):
    embeddings.add("e", {"a text": ROW, "": ROW * 2})
    found = embeddings.find("e", ["a text", "", "another"])
    assert set(found) == {"a text", ""}
    assert found["a text"].tobytes() == ROW.tobytes() and found[""].dtype == np.float32


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=15)
def test_an_embedding_is_of_one_text_alone(tmp_path_factory, one, other):
    shared = Embeddings(Database(tmp_path_factory.getbasetemp() / "shared-embeddings.sqlite"))
    embedder = repr((one, other))[:64]
    shared.add(embedder, {one: ROW})
    assert (other in shared.find(embedder, [other])) == (one == other)


def test_another_embedder_finds_nothing(embeddings):
    embeddings.add("e", {"a": ROW})
    embeddings.add_projection("e", ["a"], Projection(np.ones((1, 2), np.float32), "PCA", ""))
    assert embeddings.find("f", ["a"]) == {} and embeddings.find_projection("f", ["a"]) is None


def test_more_texts_than_fit_into_one_statement_are_found(embeddings, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    embeddings.add("e", {str(number): ROW for number in range(10)})
    assert len(embeddings.find("e", [str(number) for number in range(12)])) == 10


def test_what_is_embedded_again_is_replaced(embeddings):
    embeddings.add("e", {"a": ROW})
    embeddings.add("e", {"a": ROW * 2})
    assert embeddings.find("e", ["a"])["a"].tolist() == (ROW * 2).tolist()


@pytest.mark.parametrize("texts", [["a"], ["a", "c"], ["b", "a"], ["a", "b", "b"]])
def test_a_projection_is_of_these_texts_in_this_order(embeddings, texts):
    kept = Projection(np.array([[1, 2], [3, 4]], np.float32), "UMAP", "two points")
    embeddings.add_projection("e", ["a", "b"], kept)
    assert embeddings.find_projection("e", texts) is None
    found = embeddings.find_projection("e", ["a", "b"])
    assert (found.xy.tolist(), found.method, found.note) == ([[1, 2], [3, 4]], "UMAP", "two points")


def test_another_way_to_lay_points_out_finds_nothing(embeddings, monkeypatch):
    embeddings.add_projection("e", ["a"], Projection(np.ones((1, 2), np.float32), "PCA", ""))
    monkeypatch.setattr(module, "LAYOUT", "another")
    assert embeddings.find_projection("e", ["a"]) is None


def standing(embedder: Counting, embeddings: Embeddings, names: dict[int, str] | None = None) -> Any:
    """A bench with what a map needs of it."""
    labels = {vector: SimpleNamespace(name=name) for vector, name in (names or {}).items()}
    return SimpleNamespace(
        embedder=embedder,
        embeddings=embeddings,
        layouts=Layouts(),
        labels=SimpleNamespace(of_bank=lambda digest: labels),
        embed=lambda texts, stop: embed(texts, embedder, embeddings, stop),
    )


def test_a_map_that_was_drawn_before_is_looked_up(database, embeddings, monkeypatch):
    kept = Completions(database).add_comparison({"bank_hash": "b"}, [steered(text=str(number)) for number in range(5)])
    embedder = Counting()
    first = result_of(draw(standing(embedder, embeddings), kept, never))
    monkeypatch.setattr(mapping, "project", no_layout)
    again = result_of(draw(standing(embedder, embeddings), kept, never))
    assert (first.layout, again.layout) == ("new", "old") and replace(again, layout="new") == first
    assert embedder.asked == ["0", "1", "2", "3", "4"]
    named = result_of(draw(standing(embedder, embeddings, {3: "a name"}), kept, never))
    assert {point.label for point in named.points} == {"a name"}  # what may have changed since is as it is now


def test_another_radius_leaves_the_old_points_where_they_are(database, embeddings):
    completions, bench = Completions(database), standing(Counting(), embeddings)
    words = [f"text {number}" for number in range(24)]
    few = completions.add_comparison({}, [steered(text=text) for text in words[:16]])
    more = completions.add_comparison({}, [steered(text=text) for text in words])
    first, second = (result_of(draw(bench, kept, never)) for kept in (few, more))
    assert [(point.x, point.y) for point in second.points[:16]] == [(point.x, point.y) for point in first.points]
    assert (first.layout, second.layout) == ("new", "old") and "8 new texts" in second.note
    anew = result_of(draw(bench, more, never, fresh=True))
    assert anew.layout == "new" and [one.x for one in anew.points[:16]] != [one.x for one in first.points]
    assert [one.x for one in result_of(draw(bench, more, never)).points] == [one.x for one in anew.points]


def test_a_map_of_some_known_texts_embeds_only_the_others(database, embeddings):
    completions, embedder = Completions(database), Counting()
    for texts in (["a", "b", "a"], ["b", "c", "a", "d", "c"]):
        kept = completions.add_comparison({}, [steered(text=text) for text in texts])
        drawn = result_of(draw(standing(embedder, embeddings), kept, never))
        assert [point.text for point in drawn.points] == texts
    assert embedder.asked == ["a", "b", "c", "d"]


def test_a_map_is_the_same_whether_its_texts_were_known_or_not(tmp_path, database, embeddings):
    completions = Completions(database)
    some = completions.add_comparison({}, [steered(text=text) for text in "ce"])
    whole = completions.add_comparison({}, [steered(text=text) for text in "abcdef"])
    result_of(draw(standing(Counting(), embeddings), some, never))
    alone = Embeddings(Database(tmp_path / "other.sqlite"))
    assert result_of(draw(standing(Counting(), embeddings), whole, never)) == result_of(
        draw(standing(Counting(), alone), whole, never)
    )


def test_a_changed_text_is_never_drawn_at_the_place_of_the_old_one(database, embeddings):
    completions, embedder = Completions(database), Counting()
    kept = completions.add_comparison({}, [steered(text=text) for text in ("a", "b", "c")])
    before = result_of(draw(standing(embedder, embeddings), kept, never))
    with sqlite3.connect(database.path) as other:
        other.execute("UPDATE completions SET text = 'changed' WHERE text = 'b'")
    after = result_of(draw(standing(embedder, embeddings), completions.comparison(kept.id), never))
    assert embedder.asked == ["a", "b", "c", "changed"]
    assert [(point.x, point.y) for point in before.points] != [(point.x, point.y) for point in after.points]


def test_a_database_that_may_only_be_read_shows_what_it_has_and_draws_maps(database, embeddings):
    completions = Completions(database)
    kept = completions.add_comparison({}, [steered(text=text) for text in "abc"])

    def read_only(connection, record):
        connection.execute("PRAGMA query_only=ON")

    event.listen(database._engine, "connect", read_only)
    assert completions.comparison(kept.id) == kept
    drawn = result_of(draw(standing(Counting(), embeddings), kept, never))
    assert [point.text for point in drawn.points] == ["a", "b", "c"]
    with pytest.raises(StorageError, match="cannot be written to; nothing was stored"):
        completions.add_comparison({}, [steered()])
    assert len(completions.recent()) == 1
