"""Names as suggestions: those of labelled vectors with the nearest texts, each once, and none where nothing is near."""

import pytest
from benches import PROMPT, shelved
from test_labelling_order import Planted

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.studies.similar_labels import LEAST
from melbo_app.studies.steer import Steer


@pytest.fixture
def said(bench):
    """The texts of three vectors."""
    shelved(bench)
    made = result_of(bench.run(Steer(bank="a", prompts=(PROMPT,), vectors=(0, 1, 2), decoding=Decoding(4))))
    texts = {one.vector: one.text for one in made.completions}
    assert len({texts[vector] for vector in range(3)}) == 3
    return [texts[vector] for vector in range(3)]


def test_the_nearest_names_come_first_each_once_without_ones_own(bench, said, monkeypatch):
    planted = Planted(dict(zip(said, ([1, 0.1, 0], [1, 0, 0], [0.8, 0.6, 0]), strict=True)))
    monkeypatch.setattr(bench.bench, "embedder", planted)
    assert bench.similar_labels("a", 0) == []
    for vector, name in enumerate(("mine", "near", "farther")):
        bench.save_label("a", vector, name=name, tags=[], rating=None, note="")
    found = bench.similar_labels("a", 0)
    assert [one.label.name for one in found] == ["near", "farther"]
    assert found[0].cosine == pytest.approx(1 / 1.01**0.5, abs=1e-6)
    bench.save_label("a", 2, name="Near", tags=[], rating=None, note="")
    assert [(one.label.name, one.label.vector) for one in bench.similar_labels("a", 0)] == [("near", 1)]


def test_texts_that_are_not_similar_suggest_nothing(bench, said, monkeypatch):
    apart = LEAST - 0.01
    places = dict(zip(said, ([1, 0, 0], [apart, (1 - apart**2) ** 0.5, 0], [-1, 0, 0]), strict=True))
    monkeypatch.setattr(bench.bench, "embedder", Planted(places))
    for vector in (1, 2):
        bench.save_label("a", vector, name=f"name {vector}", tags=[], rating=None, note="")
    assert bench.similar_labels("a", 0) == []


def test_a_vector_without_a_text_has_no_suggestions(bench):
    shelved(bench)
    bench.save_label("a", 1, name="near", tags=[], rating=None, note="")
    assert bench.similar_labels("a", 0) == []
