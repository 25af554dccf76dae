"""A training that is cut off goes on where it was, to the same bits."""

import json
from dataclasses import replace

import pytest
import torch
from tiny_models import encoded, tiny

from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.engine.training_state import TrainingState
from melbo_app.jobs.generators import result_of

BASE = TrainingConfig(0, 2, 2.0, vectors=5, steps=5, scope="all")
CASES = {
    "joint": replace(BASE, steps=4),
    "joint from the Jacobian": replace(BASE, start="jacobian", vectors=3, steps=2),
    "joint with agreement between vectors": replace(
        BASE, vectors=3, steps=2, agreement=0.3, agreement_form="contrastive"
    ),
    "soft-theta": replace(BASE, method="soft-theta", steps=3),
    "soft-delta": replace(BASE, method="soft-delta", steps=3),
    "sequential": replace(BASE, method="sequential", vectors=3),
    "sequential from the Jacobian": replace(BASE, method="sequential", start="jacobian", vectors=2, steps=2),
    "transcoding": replace(BASE, method="transcoding", steps=4),
    "jacobian": replace(BASE, method="jacobian", steps=3),
}


@pytest.fixture(scope="module")
def piece():
    lm = tiny("llama")
    return ModelSlice(lm, encoded(lm, "the heath", "hello"), 0, 2)


@pytest.fixture
def _two_at_a_time(monkeypatch):
    monkeypatch.setattr("melbo_app.engine.training.vectors_at_once", lambda *_: 2)


def through_a_file(state: TrainingState) -> TrainingState:
    """The state as it comes back: arrays as bytes, all else as JSON."""
    arrays, record = state.packed()
    return TrainingState.unpacked(
        {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(record))
    )


def same(one, two):
    assert torch.equal(one.vectors, two.vectors)
    assert (one.objective, one.curves, one.steps, one.strength) == (two.objective, two.curves, two.steps, two.strength)
    if one.output_directions is not None:
        assert torch.equal(one.output_directions, two.output_directions)


@pytest.mark.usefixtures("_two_at_a_time")
@pytest.mark.parametrize("case", CASES)
def test_wherever_a_training_is_cut_off_it_goes_on_to_the_same_vectors(piece, case):
    states: list[TrainingState] = []
    whole = result_of(train(piece, CASES[case], keeper=lambda state: states.append(through_a_file(state()))))
    same(whole, result_of(train(piece, CASES[case])))
    assert len(states) >= 2 * whole.steps  # between two steps, and between the batches of a step
    assert any(state.parts for state in states)
    for state in [*states[1::5], states[-1]]:
        same(whole, result_of(train(piece, CASES[case], begun=state)))


@pytest.mark.usefixtures("_two_at_a_time")
@pytest.mark.parametrize("case", ["joint", "sequential", "transcoding", "jacobian"])
def test_a_training_that_goes_on_does_only_what_is_left(piece, case, monkeypatch):
    states: list[TrainingState] = []
    passes = 0

    def counted(*given, deltas=piece.deltas):
        nonlocal passes
        passes += 1
        return deltas(*given)

    monkeypatch.setattr(piece, "deltas", counted)
    result_of(train(piece, CASES[case], keeper=lambda state: states.append(through_a_file(state()))))
    needed = []
    for state in (None, states[len(states) // 2], states[-1]):
        passes = 0
        result_of(train(piece, CASES[case], begun=state))
        needed.append(passes)
    assert needed[0] > needed[1] > needed[2] == 0


@pytest.mark.usefixtures("_two_at_a_time")
@pytest.mark.parametrize("method", ["joint", "sequential", "transcoding", "jacobian"])
def test_where_a_training_is_paused_its_last_state_leads_on(piece, method):
    setup = CASES[method]
    whole = result_of(train(piece, setup))
    for pause in (1, 2, 4):
        offered: list = []
        work = train(piece, setup, keeper=offered.append)
        for _ in range(pause):
            next(work)
        work.close()  # and only now it is asked where it stands
        same(whole, result_of(train(piece, setup, begun=through_a_file(offered[-1]()))))
