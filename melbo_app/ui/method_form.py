"""How vectors are found: the method, and the options that it takes."""

from typing import Any

import gradio as gr

from melbo_app.engine.training_config import (
    CLIMBING,
    COUNTED_BY,
    DEFAULT_STEPS,
    METHOD_DESCRIPTIONS,
    SATURATION,
    TrainingConfig,
)
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.forms import optional_real, prompts_from, real, whole
from melbo_app.ui.guard import bind

USUAL = TrainingConfig(source=0, target=1, radius=1.0)
VECTORS = USUAL.vectors
TITLES = {
    "joint": "joint: all at once, at right angles",
    "sequential": "sequential: one after the other, as published",
    "soft-theta": "soft-theta: all at once, θ kept apart by a penalty",
    "soft-delta": "soft-delta: all at once, effects kept apart by a penalty",
    "transcoding": "transcoding: exponential DCT",
    "jacobian": "jacobian: singular vectors, both signs",
    "difference-of-means": "difference-of-means: one vector, from two sides",
    "contrast-pca": "contrast-pca: from pairs of two sides",
    "random": "random: the control",
}


class MethodForm:
    """The components, and what fills and reads them."""

    def __init__(self) -> None:
        titles = [(TITLES[name], name) for name in METHOD_DESCRIPTIONS]
        self.method = gr.Dropdown(titles, value=USUAL.method, label="Method", elem_id="train-method")
        self.about = note_view(_about(USUAL.method), elem_id="train-method-about")
        self.against = gr.Textbox(
            label="Prompts of the other side (a line --- separates several)", lines=2, max_lines=6, visible=False,
            elem_id="train-against",
        )  # fmt: skip

    def budget(self) -> None:
        """The effect budget, which stands beside R."""
        self.saturation = gr.Textbox(
            label="Effect budget (0: no limit)", placeholder=f"{SATURATION:g}", elem_id="train-saturation",
            min_width=120,
        )  # fmt: skip

    def options(self) -> None:
        """The fields that most people leave alone; called where they are to stand."""
        with gr.Row(elem_classes="mx-fields"):
            self.start = gr.Dropdown(
                [("at random", "random"), ("at the Jacobian's singular vectors", "jacobian")], value=USUAL.start,
                label="Start from", elem_id="train-begin", min_width=150,
            )  # fmt: skip
            self.orthogonality = gr.Number(
                USUAL.orthogonality, label="λ of the cosines", step=0.1, elem_id="train-orthogonality", min_width=100,
                visible=False,
            )  # fmt: skip
        with gr.Row(elem_classes="mx-fields"):
            self.agreement = gr.Number(
                USUAL.agreement, label="λ of agreement", step=0.01, elem_id="train-agreement", min_width=100
            )
            self.temperature = gr.Number(
                USUAL.temperature, label="τ of agreement", step=0.1, elem_id="train-temperature", min_width=100
            )
            self.form = gr.Dropdown(
                [("among prompts", "numerator"), ("against other vectors", "contrastive")], value=USUAL.agreement_form,
                label="Agreement", elem_id="train-agreement-form", min_width=130,
            )  # fmt: skip
        self.held_out = gr.Textbox(
            label="Prompts kept out of training, to measure on (a line --- separates several)", lines=1, max_lines=6,
            elem_id="train-held-out",
        )  # fmt: skip

    def bind(self, vectors: gr.Number, steps: gr.Number, seed: gr.Number) -> None:
        """Another method has other options, and other usual numbers of steps and vectors."""
        shown = [
            self.about, self.against, self.start, self.saturation, self.orthogonality, self.agreement,
            self.temperature, self.form, steps, vectors, seed,
        ]  # fmt: skip
        bind(self.method.input, self._fit, [self.method, vectors], shown, trigger_mode="always_last")

    @property
    def inputs(self) -> list[Any]:
        """What ``values`` takes, in its order."""
        return [
            self.method, self.against, self.start, self.saturation, self.orthogonality, self.agreement,
            self.temperature, self.form, self.held_out,
        ]  # fmt: skip

    def values(self, system: str, template: str, *fields: Any) -> dict[str, Any]:
        """Arguments of ``TrainingConfig``; fields that the method does not show are left as usual.

        Raises:
            InputError: a field that cannot be read.
        """
        method, against, start, saturation, orthogonality, agreement, temperature, form, held_out = fields
        found: dict[str, Any] = {"method": method}
        described = METHOD_DESCRIPTIONS[method]
        if described.contrast and (against or "").strip():
            found["against"] = tuple(prompts_from(against, system, template))
        if method in COUNTED_BY["start"]:
            found["start"] = start
        if method in COUNTED_BY["saturation"]:
            found["saturation"] = optional_real("saturation", saturation)
        if method in COUNTED_BY["orthogonality"]:
            found["orthogonality"] = real("λ of the cosines", orthogonality)
        if method in COUNTED_BY["agreement"] and real("λ of agreement", agreement):
            found["agreement"] = real("λ of agreement", agreement)
            found["temperature"] = real("τ of agreement", temperature)
            found["agreement_form"] = form
        if (held_out or "").strip():
            found["held_out"] = tuple(prompts_from(held_out, system, template))
        return found

    def steps(self, method: str, steps: float) -> int | None:
        """The steps in the field; None for a method that takes a single one."""
        return whole("steps", steps) if METHOD_DESCRIPTIONS[method].steps > 1 else None  # type: ignore[index]

    def seed(self, method: str, seed: float) -> int:
        """The seed in the field; the usual one for a method without random numbers."""
        return whole("seed", seed) if method in COUNTED_BY["seed"] else USUAL.seed

    def _fit(self, method: Any, vectors: float | None) -> list[Any]:
        described = METHOD_DESCRIPTIONS[method]
        one = method == "difference-of-means"
        counted = {option: gr.update(visible=method in methods) for option, methods in COUNTED_BY.items()}
        share = f"{SATURATION if method in CLIMBING else 0:g}"
        # what was written stays, but for the one vector of a method that finds a single one
        count: dict[str, Any] = {"value": 1} if one else {"value": VECTORS} if vectors == 1 else {}
        return [
            _about(method),
            gr.update(visible=described.contrast),
            counted["start"],
            {**counted["saturation"], "placeholder": share},
            counted["orthogonality"],
            *[counted["agreement"]] * 3,
            gr.Number(DEFAULT_STEPS[method], label=steps_label(method), interactive=described.steps > 1),
            gr.update(interactive=not one, **count),
            counted["seed"],
        ]  # fmt: skip


def steps_label(method: str) -> str:
    """What the field for the steps is called: some methods end sooner where they have arrived."""
    return "Most steps" if method in (*CLIMBING, "jacobian") else "Steps"


def _about(method: Any) -> dict[str, Any]:
    described = METHOD_DESCRIPTIONS[method]
    return note(described.summary, described.source)
