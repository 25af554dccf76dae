"""Loading a model that a view shows."""

from collections.abc import Iterator

import gradio as gr

from melbo_app.errors import Stopped
from melbo_app.ui.components.progress_bar import resting, working
from melbo_app.ui.guard import Changes
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench


def load_model(
    workbench: Workbench, runs: Runs, request: gr.Request, spec: str, what: str, progress: gr.HTML, wake: gr.Timer
) -> Iterator[Changes]:
    """Load the model ``spec``, which the bar calls ``what``; ``wake`` is the timer that watches the model."""
    with runs.start(request) as stop:
        yield {progress: working(f"loading {what}"), wake: gr.Timer(0.7)}
        try:
            text = f"{workbench.load_model(spec, stop=stop.is_set).name} is loaded."
        except Stopped:
            if runs.replaced(request, stop):
                return
            text = "Stopped; the previous model stays."
        yield {progress: resting(text)}
