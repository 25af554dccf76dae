"""The header: product name, training chip, model chip."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def status_bar(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {model, model_state, model_title, job, job_state, job_fraction}."""
    return live("status_bar", value, elem_id=elem_id)
