"""Watched prompts, a line each: its score as a bar against the threshold, and the vector that it looks most like."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from melbo_app.studies.watcher import Answer
from melbo_app.ui.components.live import live


def alarm_list(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {rows, threshold, says, short, bank, bank_hash}; see ``alarms``.

    Events: open, with the prompt's text and the vector; annotate, with bank, bank_hash and vector.
    """
    return live("alarm_list", value, elem_id=elem_id, events=("open", "annotate"), start=start)


def alarms(
    answers: Iterable[Answer],
    threshold: float,
    says: Mapping[int, str],
    labels: Sequence[int] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The component's value. ``says`` has a text of each vector; ``labels`` say which prompts are anomalous. A list
    that is ``short`` (among ``more``) stays in its order, and has no switches."""
    groups = [("clean", "anomalous")[label] for label in labels or ()]
    rows = [{**one, "group": groups[at] if groups else ""} for at, one in enumerate(answers)]
    return {"rows": rows, "threshold": threshold, "says": {str(vector): text for vector, text in says.items()}, **more}
