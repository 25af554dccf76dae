"""The order in which vectors are labelled: by strength, by how unlike their texts are, alike ones together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benches import PROMPT, shelved

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.studies.labelling_order import ORDERS
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench


class Planted:
    """Puts each text where the test says."""

    identity = "planted"

    def __init__(self, places: dict[str, list[float]]) -> None:
        self._places = places

    def encode(self, texts: Any) -> np.ndarray:
        rows = np.array([self._places[text] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def texts(bench: Workbench) -> tuple[Workbench, list[str]]:
    """A bank of three vectors with a text each at their own R."""
    bank = shelved(bench)
    made = result_of(bench.run(Steer(bank="a", prompts=(PROMPT,), vectors=(0, 1, 2), decoding=Decoding(4))))
    said = {one.vector: one.text for one in made.completions}
    assert len({said[vector] for vector in range(3)}) == 3, "the tiny model says the same under all vectors"
    return bench, [said[vector] for vector in range(len(bank.vectors))]


def test_orders_by_texts_follow_where_the_texts_lie(texts, monkeypatch):
    bench, said = texts
    places = dict(zip(said, ([1, 0.2, 0], [0, 0, 1], [1, 0, 0]), strict=True))
    monkeypatch.setattr(bench.bench, "embedder", Planted(places))
    assert bench.labelling_order("a", "most unlike first")[0] == 1
    together = bench.labelling_order("a", "alike together")
    assert sorted(together) == [0, 1, 2] and abs(together.index(0) - together.index(2)) == 1
    assert bench.labelling_order("a", "by number") == [0, 1, 2]


def test_the_strongest_come_first_and_a_bank_without_texts_goes_by_number(bench):
    bank = shelved(bench)
    assert {how: bench.labelling_order("a", how) for how in ORDERS if how != "strongest first"} == {
        how: [0, 1, 2] for how in ORDERS if how != "strongest first"
    }
    objective = bank.record.objective
    assert bench.labelling_order("a", "strongest first") == sorted(range(3), key=lambda one: -objective[one])
    ranked = replace(bank, record=bank.record.model_copy(update={"name": "b", "strength": [1.0, 3.0, 2.0]}))
    bench.bench.banks.save(ranked)
    assert bench.labelling_order("b", "strongest first") == [1, 2, 0]
