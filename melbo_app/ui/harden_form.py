"""The form of a hardening: the method, what is kept and avoided, and how the model is trained."""

from typing import Any

import gradio as gr
from gradio.components import Component

from melbo_app.library.taught_prompts import kept_prompts
from melbo_app.studies.harden import ASCENT, BATCH, METHODS, RANK, RATE, RELATIVE_EPSILON, STEPS, Harden
from melbo_app.ui.fields import choice, number, text, whole_number
from melbo_app.ui.forms import bank_chosen, optional_whole, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.own_prompts import MINE, OWN, SETS, read_upload, upload_button
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

NONE = "none"
ORGANISM = ("that of the loaded organism", NONE)


class HardenForm:
    """The fields of a hardening, which outlive a reload."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._kept = KeptForm("harden", for_any_model=True)
        methods = [(f"{name}: {about.partition(',')[0].partition(':')[0]}", name) for name, about in METHODS.items()]
        recipes = [ORGANISM, *workbench.organism_names()]
        with gr.Row(elem_classes="mx-fields"):
            self.method = choice("Method", "harden-method", methods, "lat", 300)
            self.behaviour = choice("Behaviour to measure", "harden-behaviour", recipes, NONE, 240)
            self.history = choice("Earlier results", "harden-history", [], None, 240, scale=2)
        with gr.Row(elem_classes="mx-fields"):
            self.keep = choice("Keep the answers to", "harden-keep", [*SETS, MINE], "everyday", 170)
            self.read_keep = upload_button("Read prompts to keep from a file", "harden-keep-upload")
        with gr.Row(elem_classes="mx-fields"):
            self.own = gr.Textbox(
                label="Prompts to keep, one a line, or JSONL with “prompt” and perhaps “answer”", lines=4, max_lines=8,
                elem_id="harden-own", visible=False, min_width=280, placeholder="ten or more, better a hundred",
            )  # fmt: skip
            self.avoid = gr.Textbox(
                label="Answers to avoid, one a line, or JSONL with “answer” and perhaps “prompt” and “instead”",
                lines=4, max_lines=8, elem_id="harden-avoid", visible=False, min_width=280,
                placeholder="what a vector brought out, for instance",
            )  # fmt: skip
        with gr.Row(elem_classes="mx-fields"):
            self.steps = whole_number("Steps", "harden-steps", STEPS, 80)
            self.batch = whole_number("Answers a step", "harden-batch", BATCH, 100)
            self.epsilon = number("ε × median norm", "harden-epsilon", RELATIVE_EPSILON, 110)
            self.layer = text("Perturbed block", "harden-layer", "as suggested", 110)
            self.explored = whole_number("Explore before and after (prompts)", "harden-explored", 0, 170)
            self.seed = whole_number("Seed", "harden-seed", 0, 80)
        with gr.Accordion("More settings", open=False, elem_id="harden-settings"), gr.Row(elem_classes="mx-fields"):
            self.ascent = whole_number("Steps of the adversary", "harden-ascent", ASCENT, 140)
            self.rate = number("Learning rate", "harden-rate", RATE, 110)
            self.rank = whole_number("Rank of the LoRA", "harden-rank", RANK, 110)
            self.tokens = whole_number("Max new tokens", "harden-tokens", 40, 110)
        self.fields: list[Component] = [
            self.method, self.keep, self.own, self.avoid, self.behaviour, self.steps, self.batch, self.epsilon,
            self.layer, self.explored, self.seed, self.ascent, self.rate, self.rank, self.tokens,
        ]  # fmt: skip
        self.inputs: list[Component] = [session.bank, *self.fields]

    def bind(self, opened: Any) -> None:
        """Bind the upload and the fields that a method needs; what the window kept comes back when the view is
        opened."""
        bind(self.keep.change, lambda given: gr.update(visible=given == OWN), self.keep, self.own)
        bind(self.method.change, lambda given: gr.update(visible=given == "targeted-lat"), self.method, self.avoid)
        bind(self.read_keep.upload, self._read, self.read_keep, [self.keep, self.own])
        self._kept.bind(self.fields, opened, self._put_back, [], [])

    def study(self, values: Values) -> Harden:
        """The hardening that the fields ask for. Raises InputError."""
        method, keep, behaviour = values[self.method], values[self.keep], values[self.behaviour]
        perturbs = method not in ("bank", "fine-tune")
        own = keep == OWN
        kept = _lines(values[self.own]) if own else [one.text for one in self._workbench.prompt_set([keep])]
        return Harden(
            method=method,
            keep=kept,
            avoid=_lines(values[self.avoid]) if method == "targeted-lat" else (),
            bank=bank_chosen(values[self._session.bank]) if method == "bank" else None,
            behaviour=None if behaviour == NONE else behaviour,
            layer=optional_whole("perturbed block", values[self.layer]),
            relative_epsilon=real("ε", values[self.epsilon]) if perturbs else None,
            ascent_steps=whole("steps of the adversary", values[self.ascent]),
            steps=whole("steps", values[self.steps]),
            batch=whole("answers a step", values[self.batch]),
            rate=real("learning rate", values[self.rate]),
            rank=whole("rank", values[self.rank]),
            explored=whole("prompts to explore", values[self.explored]),
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            seed=whole("seed", values[self.seed]),
        )

    def _read(self, path: str) -> Changes:
        said = read_upload(path, lambda data, name: kept_prompts(_lines(data.decode("utf-8", "replace"))))
        return {self.keep: OWN, self.own: gr.update(value=said, visible=True)}

    def _put_back(self, fields: Any, _: Any) -> Any:
        return fields


def _lines(text: str | None) -> list[str]:
    return [line for line in (text or "").split("\n") if line.strip()]
