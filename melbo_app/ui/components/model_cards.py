"""The catalogue of models: a card per model, with one button."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def model_cards(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {models: [{key, name, facts, good_for, warning, state, text, fraction}]}. Events: take and stop, with
    the key.

    ``state`` is loaded, ready, absent, getting or elsewhere (another model is being downloaded); ``fraction`` is the
    share of a download that has arrived.
    """
    return live("model_cards", value, elem_id=elem_id, events=("take", "stop"))
