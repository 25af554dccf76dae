"""Events of the page send all fields from which their studies are made: a field that is left out is a KeyError."""

from typing import Any

import gradio as gr
import pytest
from benches import trained

from melbo_app.jobs.study import Study
from melbo_app.ui.page import Page
from melbo_app.ui.tabs.job_tab import JobTab

RADIUS = {"radius": 6.0, "norms": None, "trained": 6.0}


@pytest.fixture
def page(bench: Any) -> Page:
    trained(bench)
    with gr.Blocks():
        return Page(bench)


def sent(page: Page, tab: JobTab, **written: Any) -> dict[Any, Any]:
    """The values that a press of Start sends, with those that are written into the fields of the tab."""
    events = page.timer.parent.fns.values()
    [event] = [fn for fn in events if (tab.start._id, "click") in fn.targets and fn.inputs_as_dict]
    values = {part: part.value for part in event.inputs}
    column = {"prompt": "Who are you?", "bank": "a", "vectors": {"selected": [0, 1]}, "radius": RADIUS}
    known = {getattr(page.session, name): value for name, value in column.items()}
    known |= {page.form.source: 1, page.form.target: 3}
    known |= {getattr(tab, name): value for name, value in written.items()}
    return {part: known.get(part, value) for part, value in values.items()}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("explore", {}),
        ("map", {"radii": "6"}),
        ("generality", {"sets": [], "own": "Who are you?"}),
        ("radius", {}),
        ("radius", {"way": "bank"}),
        ("layers", {"sources": "1", "targets": "3"}),
        ("many", {"way": "bank"}),
        ("many", {"way": "trained"}),
    ],
)
def test_a_press_of_start_sends_every_field_of_the_study(page, name, written):
    tab = page.radius.many if name == "many" else getattr(page, name)
    study = tab._study(sent(page, tab, **written))
    assert isinstance(study, Study) and study.kind in (tab.kind, "curve")


def test_no_word_of_a_script_becomes_a_property_that_every_visit_copies(page):
    """Gradio takes each word in quotes for an event, also one like ``every``, and then copies the page for seconds."""
    for block in page.timer.parent.blocks.values():
        given = {name: value for name, value in block.get_config().items() if callable(value)}
        assert {*given} <= {"delete_callback"}, (block.elem_id, given)
