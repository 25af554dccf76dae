"""The slider of a bank whose vectors differ in norm: where it begins each is as it is, elsewhere all have its R."""

import gradio as gr
import pytest
from benches import PROMPT, shelved

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.studies.steer import Steer
from melbo_app.ui.forms import radii_of
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab


@pytest.fixture
def tab(bench):
    shelved(bench)
    bench.combine_banks("join(a[0], 3 * a[1], 5 * a[2])", "mix")
    with gr.Blocks():
        session = Session(bench)
        session.list_vectors()
        return CompletionsTab(bench, session)


def test_the_slider_begins_where_each_vector_is_as_it_is(tab):
    slider = tab._session.open_bank("mix")[tab._session.radius]
    assert (slider["radius"], slider["trained"]) == (18.0, 18.0)
    assert slider["norms"] == pytest.approx([6.0, 30.0]) and radii_of(slider) is None
    assert radii_of({**slider, "radius": 8}) == [8.0] and radii_of({**slider, "radius": -18.0}) == [-18.0]
    even = tab._session.open_bank("a")[tab._session.radius]
    assert even["norms"] is None and radii_of(even) == [6.0]


@pytest.mark.parametrize(("radii", "shown"), [(None, 18.0), ([8.0], 8.0), ([18.0, -18.0], 18.0)])
def test_an_earlier_comparison_puts_the_slider_where_it_was(bench, tab, radii, shown):
    made = result_of(bench.run(Steer(bank="mix", prompts=[PROMPT], vectors=[0, 2], radii=radii, decoding=Decoding(2))))
    slider = tab.restore(made.id)[tab._session.radius]
    assert slider["radius"] == shown
