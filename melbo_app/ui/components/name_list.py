"""Names to take over, each a button."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from melbo_app.library.label_readings import LabelReading, facts, in_words
from melbo_app.library.suggested_labels import SuggestedLabel
from melbo_app.studies.similar_labels import SimilarLabel
from melbo_app.ui.components.live import live


def name_list(*, elem_id: str) -> gr.HTML:
    """Value: {intro, names: [{name, title}], after}. Event: take {name}."""
    return live("name_list", None, elem_id=elem_id, events=("take",))


def names(found: Sequence[SimilarLabel]) -> dict[str, Any]:
    """The component's value."""
    return {
        "intro": "Similar texts are called",
        "names": [
            {"name": label.name, "title": f"vector {label.vector} of “{label.bank}”, cosine of the texts {cosine:.2f}"}
            for label, cosine in found
        ],
    }


def suggestion(found: SuggestedLabel, read: Sequence[LabelReading] = ()) -> dict[str, Any]:
    """The component's value: what a model suggests, with the figures of its test and of those by people."""
    if read:
        people = in_words(facts(read, named=True))
        return {
            "intro": f"{found.writer} suggests",
            "names": [{"name": found.name, "title": "A suggestion that people have tested. A press takes it over."}],
            "after": f"AUROC on {read[-1].unseen} unseen texts: {people}; {found.reader} {found.figures}",
        }
    others = f"; other labels up to {max(found.others):.2f}" if found.others else ""
    return {
        "intro": f"{found.writer} suggests",
        "names": [{"name": found.name, "title": "A suggestion: nobody has read it. A press takes it over."}],
        "after": f"AUROC {found.figures} on {found.unseen} unseen texts{others}",
    }
