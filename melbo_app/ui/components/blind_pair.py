"""Two texts, A and B, between which a person chooses."""

from typing import Any

import gradio as gr

from melbo_app.studies.blind import Pair
from melbo_app.ui.components.live import live

EMPTY = "Choose a bank with stored texts."


def blind_pair(*, elem_id: str) -> gr.HTML:
    """Value: {prompt, a, b, done, total} or {message, done, total}. Event: choose {choice}: a, b, tie or bad."""
    return live("blind_pair", {"message": EMPTY}, elem_id=elem_id, events=("choose",))


def shown(pair: Pair | None, done: int, total: int, message: str) -> dict[str, Any]:
    """The component's value; ``message`` where there is no pair."""
    counted = {"done": done, "total": total}
    if pair is None:
        return {"message": message, **counted}
    first, second = (pair.other, pair.text) if pair.swapped else (pair.text, pair.other)
    return {"prompt": pair.text.prompt.user, "a": first.text, "b": second.text, **counted}
