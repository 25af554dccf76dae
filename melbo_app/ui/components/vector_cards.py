"""A grid of clickable cards, one per vector of a bank."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def vector_cards(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {vectors: [{index, name, rating, objective, runaway}], selected: [index]}. Event: pick.

    ``runaway`` is the smallest |R| at which the vector ran away, or None.
    """
    return live("vector_cards", value, elem_id=elem_id)
