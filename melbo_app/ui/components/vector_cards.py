"""A grid of clickable cards, one per vector of a bank."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def vector_cards(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {vectors: [{index, name, rating, objective, effect, runaway}], selected: [index]}. Event: pick.

    ``effect`` holds lines about the vector's effect; ``runaway`` is a list of {radius, where}: the smallest |R| at
    which it ran away, for each place.
    """
    return live("vector_cards", value, elem_id=elem_id)
