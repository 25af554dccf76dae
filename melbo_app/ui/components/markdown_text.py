"""A text in Markdown that people wrote."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live
from melbo_app.ui.markdown import tree


def markdown_text(*, elem_id: str) -> gr.HTML:
    """Value: {nodes, message}; see ``written``."""
    return live("markdown_text", None, elem_id=elem_id)


def written(text: str, message: str = "") -> dict[str, Any]:
    """The component's value; ``message`` where the text is empty."""
    return {"nodes": tree(text), "message": message}
