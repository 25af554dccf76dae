"""The exact tokens that go into the model."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def token_strip(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {prompts: [{pieces, counts}], scope, message}."""
    return live("token_strip", value, elem_id=elem_id)
