"""The header: the rooms, the jobs, the model."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def status_bar(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {rooms: [{room, title}], model, model_state, model_title, model_hash, job, job_state, job_fraction, jobs}.

    Events: go, with room and view; jobs, when the list of jobs is opened.
    """
    return live("status_bar", value, elem_id=elem_id, events=("go", "jobs"))
