"""A signed slider for R, logarithmic on both sides of zero."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def radius_slider(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {bank, hash, radius, trained, median, norms, measured}. Event: release, once the pointer lets go or the
    keys rest.

    ``norms`` are the smallest and largest norm if the bank's vectors differ in norm, else None; ``measured`` is a list
    of {radius, texts, readable}, painted along the slider.
    """
    return live("radius_slider", value, elem_id=elem_id, events=("release",))
