"""What the page does first."""

import gradio as gr

from melbo_app.ui.page import build_page
from melbo_app.workbench import Workbench


def test_the_page_looks_at_the_server_only_once_it_is_open(bench: Workbench):
    """A look beside a slow opening found the model as well: the form was filled in again, over what a person kept."""
    page = build_page(bench)
    (timer,) = [part for part in page.blocks.values() if isinstance(part, gr.Timer)]
    assert not timer.active
    loads = [fn for fn in page.fns.values() if any(event == "load" for _, event in fn.targets)]
    opening = next(fn for fn in loads if timer in fn.outputs)
    after = [fn for fn in page.fns.values() if fn.trigger_after == opening._id and timer in fn.outputs]
    assert [fn.trigger_only_on_failure for fn in after] == [True]
    assert after[0].fn is not None
    assert after[0].fn().active and after[0].fn().value > 0
