"""A label, and texts of which a person says how well it fits, one after the other; at the end the texts are opened."""

from typing import Any

import gradio as gr

from melbo_app.library.label_readings import LabelReading
from melbo_app.studies.label_trial import Trial
from melbo_app.ui.components.live import live


def label_trial(*, elem_id: str) -> gr.HTML:
    """Value: {name, prompt, texts} to be read; afterwards {name, prompt, result, opened: [{text, steered, fits}]}; or
    {name, message}. Event: done {fits}, with a number from 1 to 5 for each text."""
    return live("label_trial", None, elem_id=elem_id, events=("done",))


def reading(trial: Trial) -> dict[str, Any]:
    """The component's value: nothing in it tells which texts are the vector's."""
    texts = [text for text, _ in trial.texts]
    return {"name": trial.name, "prompt": trial.prompt.user, "texts": texts}


def opened(read: LabelReading) -> dict[str, Any]:
    """The same with the result."""
    texts = [one.model_dump() for one in read.texts]
    return {"name": read.name, "prompt": read.prompt.user, "result": result(read), "opened": texts}


def result(read: LabelReading) -> str:
    """What a reading found, in a sentence."""
    return (
        f"{read.who or 'Somebody'} told {read.unseen} texts of the vector from {read.unseen} of random vectors with an "
        f"AUROC of {read.figures}."
    )
