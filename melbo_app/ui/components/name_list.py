"""Names to take over, each a button."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from melbo_app.studies.similar_labels import SimilarLabel
from melbo_app.ui.components.live import live


def name_list(*, elem_id: str) -> gr.HTML:
    """Value: {names: [{name, title}]}. Event: take {name}."""
    return live("name_list", None, elem_id=elem_id, events=("take",))


def names(found: Sequence[SimilarLabel]) -> dict[str, Any]:
    """The component's value."""
    return {
        "names": [
            {"name": label.name, "title": f"vector {label.vector} of “{label.bank}”, cosine of the texts {cosine:.2f}"}
            for label, cosine in found
        ]
    }
