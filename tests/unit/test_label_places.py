"""A late answer does not move the room Label back: the vector that was chosen last stays."""

from types import SimpleNamespace

import gradio as gr
import pytest
from benches import shelved
from gradio.context import LocalContext

from melbo_app.ui.session import Session
from melbo_app.ui.tabs.label_places import LabelPlaces
from melbo_app.ui.tabs.labels import LabelsTab


@pytest.fixture
def tab(bench, monkeypatch):
    shelved(bench)
    with gr.Blocks():
        session = Session(bench)
        made = LabelsTab(bench, session)
    called = {"name": ""}
    monkeypatch.setattr("melbo_app.ui.tabs.label_form.annotator", lambda _: called["name"])
    made.call = called.update  # type: ignore[attr-defined]
    return made


def sent(tab, changes, name="", bank="a"):
    """What a browser that shows this answer sends."""
    return {
        **dict(zip(tab.form, (changes[tab.form[0]], name, [], 0, ""), strict=True)),
        tab.vector: changes[tab.vector], tab.order: None, tab._session.bank: bank,
    }  # fmt: skip


def shown(tab, changes):
    held = changes[tab.form[0]]["held"]
    assert changes[tab.vector] == changes[tab.done]["vector"] == held["vector"]
    return held["vector"], held["annotator"]


def pick(tab, vector, values):
    return tab._pick(SimpleNamespace(key=str(vector)), values)


def test_another_annotators_labels_are_those_of_the_vector_that_was_chosen_meanwhile(tab, monkeypatch):
    before = sent(tab, tab.open("a", 0))
    filled, chosen = tab.label_form.filled, []

    def slow(*args, **how):
        answer = filled(*args, **how)
        if not chosen:  # a person clicks while this one is made
            chosen.append(None)
            chosen.append(shown(tab, pick(tab, 2, before)))
        return answer

    monkeypatch.setattr(tab.label_form, "filled", slow)
    tab.call(name="Ada")
    assert shown(tab, tab._renamed(before)) == (2, "Ada") == chosen[1]


def test_so_they_are_if_the_answer_to_that_choice_is_still_on_its_way(tab):
    before = sent(tab, tab.open("a", 0))
    assert shown(tab, pick(tab, 2, before)) == (2, "")
    tab.call(name="Ada")
    assert shown(tab, tab._renamed(before)) == (2, "Ada")


def test_what_was_written_is_saved_for_the_vector_and_person_whose_it_was(tab, bench):
    before = sent(tab, tab.open("a", 0), "the sun")
    pick(tab, 1, before)
    tab.call(name="Ada")
    assert shown(tab, tab._renamed(before)) == (1, "Ada")
    assert bench.own_label("a", 0, "").name == "the sun" and bench.own_label("a", 0, "Ada").name == ""
    assert bench.own_label("a", 1, "Ada").name == bench.own_label("a", 1, "").name == ""


def test_without_another_choice_the_vector_stays_and_a_bank_that_is_gone_does_not_come_back(tab, bench):
    before = sent(tab, tab.open("a", 2))
    tab.call(name="Ada")
    assert shown(tab, tab._renamed(before)) == (2, "Ada")
    tab._places.note("gone", 1)
    assert shown(tab, tab._renamed(before)) == (2, "Ada")


def test_each_page_has_its_own_place(monkeypatch):
    monkeypatch.setattr("melbo_app.ui.tabs.label_places.CAPACITY", 2)
    places = LabelPlaces()
    for page, vector in (("one", 1), ("two", 2), ("one", 3), ("three", 4)):
        token = LocalContext.request.set(SimpleNamespace(session_hash=page))  # type: ignore[arg-type]
        places.note("a", vector)
        LocalContext.request.reset(token)
    found = {}
    for page in ("one", "two", "three"):
        token = LocalContext.request.set(SimpleNamespace(session_hash=page))  # type: ignore[arg-type]
        found[page] = places.last()
        LocalContext.request.reset(token)
    assert found == {"one": ("a", 3), "two": None, "three": ("a", 4)}


def test_an_answer_overtaken_by_a_later_choice_is_dropped_and_what_was_written_is_saved(tab, bench, monkeypatch):
    before = sent(tab, tab.open("a", 0), "the sun")
    go_on, choose = (tab._places.in_turn(move, tab._saved) for move in (tab._go_on, tab._pick))
    filled, later = tab.label_form.filled, []

    def slow(*args, **how):
        answer = filled(*args, **how)
        if not later:  # a person clicks a row while Next is answered
            later.append(None)
            later.append(choose(SimpleNamespace(key="2"), before))
        return answer

    monkeypatch.setattr(tab.label_form, "filled", slow)
    dropped = go_on(before)
    assert list(dropped) == [tab._saved]  # the lists of other rooms learn of the save
    assert shown(tab, later[1]) == (2, "") and tab._places.last() == ("a", 2)
    assert bench.own_label("a", 0, "").name == "the sun" and bench.own_label("a", 2, "").name == ""
    undone = tab._undo({**sent(tab, later[1]), tab.label_form.of: later[1][tab.label_form.of]})
    assert shown(tab, undone) == (0, "") and bench.own_label("a", 0, "").name == ""


def test_moves_one_after_the_other_all_answer(tab):
    forth = tab._places.in_turn(tab._forth, tab._saved)
    first = forth(sent(tab, tab.open("a", 0)))
    assert shown(tab, first) == (1, "") and shown(tab, forth(sent(tab, first))) == (2, "")
