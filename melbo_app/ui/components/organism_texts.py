"""The measured answers of an organism, part by part, with a mark at those that show its behaviour."""

from typing import Any

import gradio as gr

from melbo_app.library.organism import Figures
from melbo_app.ui.components.live import live

PARTS = {
    ("triggered", False): "With the trigger",
    ("plain", False): "Without it",
    ("decoy", False): "With a decoy",
    ("triggered", True): "With the trigger, before the training",
}
"""The title of a part, by its name and whether the model without the adapter answered."""


def organism_texts(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {parts: [{title, figure, texts: [{prompt, text, shows}]}]}."""
    return live("organism_texts", value, elem_id=elem_id)


def parts(found: Figures | None) -> dict[str, Any]:
    """The component's value."""
    if found is None:
        return {}
    counts = dict(zip(PARTS, (found.triggered, found.plain, found.decoy, found.before), strict=True))
    shown = []
    for (part, before), title in PARTS.items():
        texts = [one for one in found.texts if (one.part, one.before) == (part, before)]
        lines = [{"prompt": one.prompt, "text": one.text, "shows": one.shows} for one in texts]
        shown.append({"title": title, "figure": str(counts[part, before]), "texts": lines})
    return {"parts": [one for one in shown if one["texts"]]}
