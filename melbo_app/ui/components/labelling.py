"""How far labelling is, and the keys of the room Label."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def labelling(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {done, total, said, of, vector, radius, at}; ``of`` names bank and vector, ``at`` makes each answer a new
    value, ``said`` stands in place of the count. Event: go, with the vector that was chosen elsewhere on the page. The
    keys press the room's buttons."""
    return live("labelling", value, elem_id=elem_id, events=("go",))
