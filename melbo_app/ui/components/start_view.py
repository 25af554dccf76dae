"""The room Start: a story in four steps, examples, recent runs."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def start_view(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {story, examples: [{bank, prompt, found: [{name, rating}]}], runs: [{run, prompt, parts, date}]}.

    Events: run, with the number of a comparison; sample, with the name of a bank.
    """
    return live("start_view", value, elem_id=elem_id, events=("run", "sample"))
