"""The method of a training, and its options."""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.engine.training_config import (
    CLIMBING,
    COUNTED_BY,
    DEFAULT_STEPS,
    METHOD_DESCRIPTIONS,
    SATURATION,
    TrainingConfig,
)
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import choice, number, text
from melbo_app.ui.forms import optional_real, prompts_from, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.session import Session

USUAL = TrainingConfig(source=0, target=1, radius=1.0)
VECTORS = USUAL.vectors
STARTS = [("random vectors", "random"), ("the Jacobian's singular vectors", "jacobian")]
AGREEMENTS = [("among prompts", "numerator"), ("against other vectors", "contrastive")]
TITLES = {
    "joint": "joint: all at once, orthogonal",
    "sequential": "sequential: one by one, as published",
    "soft-theta": "soft-theta: all at once, θ kept apart by a penalty",
    "soft-delta": "soft-delta: all at once, effects kept apart by a penalty",
    "transcoding": "transcoding: exponential DCT",
    "jacobian": "jacobian: singular vectors, both signs",
    "difference-of-means": "difference-of-means: one vector, from two sides",
    "contrast-pca": "contrast-pca: from pairs of two sides",
    "random": "random: the control",
}


class MethodForm:
    """The fields for the method and its options."""

    def __init__(self) -> None:
        titles = [(TITLES[name], name) for name in METHOD_DESCRIPTIONS]
        self.method = gr.Dropdown(titles, value=USUAL.method, label="Method", elem_id="train-method")
        self.about = note_view(_about(USUAL.method), elem_id="train-method-about")
        self.against = gr.Textbox(
            label="Prompts of the other side (a line --- separates several)", lines=2, max_lines=6, visible=False,
            elem_id="train-against",
        )  # fmt: skip

    def budget(self) -> None:
        """The field beside R."""
        self.saturation = text("Effect budget", "train-saturation", f"{SATURATION:g} (0: none)", 120)

    def options(self) -> None:
        """The fields that most people leave alone, in the place that is open."""
        with gr.Row(elem_classes="mx-fields"):
            self.start = choice("Start from", "train-begin", STARTS, USUAL.start, 150)
            self.orthogonality = number(
                "λ of the cosines", "train-orthogonality", USUAL.orthogonality, 100, step=0.1, visible=False
            )
        with gr.Row(elem_classes="mx-fields"):
            self.agreement = number("λ of agreement", "train-agreement", USUAL.agreement, 100, step=0.01)
            self.temperature = number("τ of agreement", "train-temperature", USUAL.temperature, 100, step=0.1)
            self.form = choice("Agreement", "train-agreement-form", AGREEMENTS, USUAL.agreement_form, 130)
        self.held_out = gr.Textbox(
            label="Held-out prompts (a line --- separates several)", lines=1, max_lines=6,
            elem_id="train-held-out",
        )  # fmt: skip

    def bind(self, vectors: gr.Number, steps: gr.Number, seed: gr.Number) -> None:
        """Another method has other options, and other usual numbers of steps and vectors."""
        self._vectors, self._steps, self._seed = vectors, steps, seed
        shown: list[Block] = [
            self.about, self.against, self.start, self.saturation, self.orthogonality, self.agreement,
            self.temperature, self.form, steps, vectors, seed,
        ]  # fmt: skip
        bind(self.method.input, self.fit, [self.method, vectors], shown, trigger_mode="always_last")

    @property
    def inputs(self) -> list[Component]:
        """The fields that ``values`` reads, beside those of ``bind``."""
        return [
            self.method, self.against, self.start, self.saturation, self.orthogonality, self.agreement,
            self.temperature, self.form, self.held_out,
        ]  # fmt: skip

    def values(self, values: Values, session: Session) -> dict[str, Any]:
        """Arguments of ``TrainingConfig``; options that the method does not show keep their defaults.

        Raises:
            InputError: a field cannot be read.
        """
        method = values[self.method]
        described = METHOD_DESCRIPTIONS[method]
        found: dict[str, Any] = {"method": method, "vectors": whole("vectors", values[self._vectors])}
        if described.steps > 1:
            found["steps"] = whole("steps", values[self._steps])
        if method in COUNTED_BY["seed"]:
            found["seed"] = whole("seed", values[self._seed])
        if method in COUNTED_BY["start"]:
            found["start"] = values[self.start]
        if method in COUNTED_BY["saturation"]:
            found["saturation"] = optional_real("saturation", values[self.saturation])
        if method in COUNTED_BY["orthogonality"]:
            found["orthogonality"] = real("λ of the cosines", values[self.orthogonality])
        if method in COUNTED_BY["agreement"] and real("λ of agreement", values[self.agreement]):
            found["agreement"] = real("λ of agreement", values[self.agreement])
            found["temperature"] = real("τ of agreement", values[self.temperature])
            found["agreement_form"] = values[self.form]
        for name, field, counts in (("against", self.against, described.contrast), ("held_out", self.held_out, True)):
            if counts and (values[field] or "").strip():
                prompts = prompts_from(values[field], values[session.system], values[session.template])
                found[name] = tuple(prompts)
        return found

    def fit(self, method: Any, vectors: float | None) -> Changes:
        """The fields that belong to a method."""
        described = METHOD_DESCRIPTIONS[method]
        one = method == "difference-of-means"
        shown = {option: gr.update(visible=method in methods) for option, methods in COUNTED_BY.items()}
        share = f"{SATURATION if method in CLIMBING else 0:g}"
        # the number stays, except for a method that finds a single vector
        count: dict[str, Any] = {"value": 1} if one else {"value": VECTORS} if vectors == 1 else {}
        steps = gr.update(value=DEFAULT_STEPS[method], label=steps_label(method), interactive=described.steps > 1)
        return {
            self.about: _about(method),
            self.against: gr.update(visible=described.contrast),
            self.start: shown["start"],
            self.saturation: {**shown["saturation"], "placeholder": share},
            self.orthogonality: shown["orthogonality"],
            **dict.fromkeys((self.agreement, self.temperature, self.form), shown["agreement"]),
            self._steps: steps,
            self._vectors: gr.update(interactive=not one, **count),
            self._seed: shown["seed"],
        }


def steps_label(method: str) -> str:
    """The label of the field for steps: some methods stop when they have converged."""
    return "Max steps" if method in (*CLIMBING, "jacobian") else "Steps"


def _about(method: Any) -> dict[str, Any]:
    described = METHOD_DESCRIPTIONS[method]
    return note(described.summary, described.source)
