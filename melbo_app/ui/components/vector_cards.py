"""The list of a bank's vectors, in which they are chosen."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def vector_cards(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {bank, vectors: [{index, name, rating, tags, text: {text, verdict, prompt, same}, objective, effect,
    runaway}], selected: [index]}. Without ``selected`` the choice in the browser stays. Event: pick.

    ``effect`` holds lines about the vector's effect; ``runaway`` is a list of {radius, where}: the smallest |R| at
    which it ran away, for each place.
    """
    return live("vector_cards", value, elem_id=elem_id, events=("pick",))
