"""The form that Explore, Train, R and Layers share: a method, two layers, vectors, R, a scope, and the options."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.engine.training_config import CLIMBING, COUNTED_BY, DEFAULT_STEPS, METHOD_DESCRIPTIONS, TrainingConfig
from melbo_app.errors import InputError, MelboError
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.ui.components.live import live
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import choice, number, small_button, text, whole_number
from melbo_app.ui.forms import optional_layer, optional_real, prompts_from, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.leaving import leaving
from melbo_app.ui.method_form import USUAL, VECTORS, MethodForm, steps_label
from melbo_app.ui.present import amount
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import SCOPES, Session, default_scope
from melbo_app.workbench import Workbench


class TrainingForm:
    """The form at the side of Find."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self._norm = gr.State(None)
        self._template = gr.State(None)  # that of the prompt for which the form was last filled in
        self._kept = KeptForm("train")
        live("form_toggle", None, elem_id="form-toggle")
        with gr.Column(elem_id="train-form", min_width=0):
            self.how = MethodForm()
            with gr.Row(elem_classes="mx-fields"):
                self.source = whole_number("Source layer", "train-source", width=110)
                self.target = whole_number("Target layer", "train-target", width=110)
            with gr.Row(elem_classes="mx-fields"):
                self.radius = number("R", "train-radius", width=110)
                self.relative = number("R × median norm", "train-relative", width=110, step=0.01)
            self.norm = note_view(elem_id="train-norm")
            with gr.Row(elem_classes="mx-toolbar"):
                self.calibrate = small_button("Calibrate R", "train-calibrate", 100)
                self.find = small_button("Find R and budget", "train-find", 130)
                self.calibrating = progress_bar(resting(), elem_id="calibrate-progress")
            with gr.Row(elem_classes="mx-fields"):
                self.vectors = whole_number("Vectors", "train-vectors", VECTORS, 110)
                self.steps = whole_number(steps_label("joint"), "train-steps", DEFAULT_STEPS["joint"], 110)
            with gr.Row(elem_classes="mx-fields"):
                self.how.budget()
                self.scope = choice("Token scope", "train-scope", SCOPES, SCOPES[0], 110, allow_custom_value=True)
            with gr.Accordion("Objective, options and seed", open=False, elem_id="train-more"):
                with gr.Row(elem_classes="mx-fields"):
                    self.p = number("p", "train-p", 2)
                    self.q = text("q (default: p)", "train-q", width=80)
                    self.seed = whole_number("Seed", "train-seed", 0)
                self.how.options()
        self.place_outputs: list[Block] = [
            self.source, self.target, self.radius, self.relative, self._norm, self.norm,
        ]  # fmt: skip
        self.outputs = [*self.place_outputs, self.scope, self._template]
        self.suggest_inputs: set[Component] = {*session.prompt_inputs, session.scope, self._template}
        self.inputs: set[Component] = {
            *session.prompt_inputs, self.source, self.target, self.radius, self.vectors, self.steps, self.p, self.q,
            self.scope, self.seed, *self.how.inputs,
        }  # fmt: skip

    def bind(self, others: Sequence[Component]) -> None:
        """Bind the fields to each other. ``others`` are fields of the views that outlive a reload with these."""
        session = self._session
        self.how.bind(self.vectors, self.steps, self.seed)
        bind(self.radius.input, self._to_relative, [self.radius, self._norm], self.relative)
        bind(self.relative.input, self._to_radius, [self.relative, self._norm], self.radius)
        measured: list[Block] = [self._norm, self.norm, self.relative]
        at_source = {*session.prompt_inputs, self.source, self.radius}
        bind(self.source.input, self._measure, at_source, measured, trigger_mode="always_last")
        place = {*session.prompt_inputs, self.source, self.target, self.scope}
        outputs = [self.radius, *measured, self.calibrating]
        look = {*place, self.vectors, self.seed, self.how.method}
        for found in (
            bind(self.calibrate.click, self._calibrate, place, outputs),
            bind(self.find.click, self._find, look, [*outputs, self.how.saturation]),
        ):
            bind(found.failure, lambda: resting("Not finished."), None, self.calibrating)
        bind(self.scope.input, lambda scope: scope, self.scope, session.scope)
        both: list[Block] = [session.scope, self.scope]
        usual = session.template.input
        bind(usual, lambda template: dict.fromkeys(both, default_scope(template)), [session.template], both)
        again = session.template.change
        bind(again, self._suggest_again, self.suggest_inputs, self.outputs, trigger_mode="always_last")
        bind(session.scope.input, lambda scope: scope, session.scope, self.scope)
        own = [field for field in self.inputs if field not in session.prompt_inputs]
        kept = sorted([*own, self.relative, *others], key=lambda field: str(field.elem_id))
        shown: list[Block] = [self._norm, self.norm, self.how.about]
        self._kept.bind(kept, self._norm.change, self._put_back, session.prompt_inputs, shown)

    def training(self, values: Values, **changes: Any) -> TrainingConfig:
        """The training that the form describes, with ``changes``. Raises InputError."""
        source, target = self.pair(values)
        radius = changes.pop("radius", None)
        described = {
            "source": source,
            "target": target,
            "radius": real("R", values[self.radius]) if radius is None else radius,
            "p": real("p", values[self.p]),
            "q": optional_real("q", values[self.q]),
            "scope": values[self.scope],
            **self.how.values(values, self._session),
            **changes,
        }
        return TrainingConfig(**described)

    def explored(self, values: Values) -> dict[str, Any]:
        """Method, vectors, steps and seed, for ``ExploreSettings``; the method's own number of steps is left out,
        because a search takes fewer. Raises InputError."""
        method = values[self.how.method]
        if METHOD_DESCRIPTIONS[method].contrast:
            raise InputError("method", f"{method} compares prompts with others", "Choose another one, or press Train")
        found = {"method": method, "vectors": whole("vectors", values[self.vectors])}
        steps = whole("steps", values[self.steps])
        found |= {} if steps == DEFAULT_STEPS[method] else {"steps": steps}
        return found | ({"seed": whole("seed", values[self.seed])} if method in COUNTED_BY["seed"] else {})

    def pair(self, values: Values) -> tuple[int, int]:
        """Source and target layer; those of the model while the form is not filled in. Raises InputError."""
        source, target = values[self.source], values[self.target]
        return self._workbench.layers(optional_layer("source layer", source), optional_layer("target layer", target))

    def suggest(self, values: Values) -> Changes:
        """Fill ``outputs`` for the loaded model and this prompt."""
        try:
            prompts = self._session.prompts(values)
        except MelboError:
            prompts = []
        if not self._workbench.model_state().loaded:
            return {}
        try:
            found = self._workbench.suggestion(prompts, stop=leaving())
        except MelboError:  # the strip of tokens shows the error; the layers must fit the model all the same
            found = self._workbench.suggestion()
        return {
            **self.place(found.source, found.target, None, found.median_norm),
            self.radius: found.radius,
            self.relative: float(amount(found.relative_radius)),
            self.scope: values[self._session.scope],
            self._template: values[self._session.template],
        }

    def _suggest_again(self, values: Values) -> Changes:
        """The same for another template, which has changed the scope already. What the page is opened with is no other
        one: its suggestion is on its way, and would come over what the window kept."""
        if values[self._template] in (None, values[self._session.template]):
            return {}
        return {field: value for field, value in self.suggest(values).items() if field is not self.scope}

    def _put_back(self, fields: Changes, prompt: Any) -> Changes:
        """The form as it was before a reload, and the norm at its source layer."""
        try:
            shown = self.how.fit(fields.get(self.how.method, USUAL.method), fields.get(self.vectors))
            source, _ = self._workbench.layers(fields.get(self.source), fields.get(self.target))
            norm = self._workbench.median_norm(prompts_from(*prompt), source, stop=leaving())
        except (MelboError, KeyError, TypeError, ValueError):  # kept by another version
            return {}
        kept = {field: {**old, "value": fields[field]} for field, old in shown.items() if field in fields}
        return {**self._at(None, norm), **fields, **shown, **kept}

    def place(self, source: int, target: int, radius: float | None, norm: float) -> Changes:
        """Fill ``place_outputs``; without an R, the one in the form stays."""
        return {self.source: source, self.target: target, **self._at(radius, norm)}

    def _at(self, radius: float | None, norm: float, found: str = "") -> Changes:
        """R in both units, and the median norm with a sentence about how R was found."""
        known = f"Median residual norm at the source: {amount(norm, 4)}. The R at which texts break differs by model."
        changes: Changes = {self._norm: norm, self.norm: note(known, found)}
        if radius is not None:
            radius = float(amount(radius))
            changes |= {self.radius: radius, self.relative: float(amount(radius / norm))}
        return changes

    def _calibrate(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Fill in R by where the response leaves the linear regime."""
        source, target = self.pair(values)
        study = Calibrate(prompts=self._session.prompts(values), source=source, target=target, scope=values[self.scope])
        done = yield from self._runs.do(request, study, self.calibrating, "calibrating")
        if done is not None:
            found, _ = done
            at = self._at(found.suggested_radius, found.median_norm, found.sentence)
            yield {**at, self.calibrating: resting("Done.")}

    def _find(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Fill in R and the effect budget by looking at short completions."""
        prompts, method = self._session.prompts(values), values[self.how.method]
        if method not in CLIMBING:
            raise InputError("method", f"{method} has no effect budget", f"Choose {', '.join(CLIMBING)}")
        vectors, seed = whole("vectors", values[self.vectors]), whole("seed", values[self.seed])
        config = TrainingConfig(*self.pair(values), 1.0, vectors, method, scope=values[self.scope], seed=seed)
        study = SearchSettings.before(prompts, config, SEARCH_SECONDS)
        done = yield from self._runs.do(request, study, self.calibrating, "looking at the unsteered text")
        if done is not None:
            found, _ = done
            reason = f"{found.reason[0].upper()}{found.reason[1:]}."
            at = self._at(after_search(config, found.best).radius, found.median_norm, reason)
            budget = amount(found.best.effect_budget)
            yield {**at, self.calibrating: resting("Done."), self.how.saturation: budget}

    def _measure(self, values: Values) -> Changes:
        """Measure the median norm at another source layer."""
        source = optional_layer("source layer", values[self.source])
        if source is None or not self._workbench.model_state().loaded:
            return {}
        norm = self._workbench.median_norm(self._session.prompts(values), source, stop=leaving())
        return {**self._at(None, norm), self.relative: self._to_relative(values[self.radius], norm)}

    def _to_relative(self, radius: float | None, norm: float | None) -> Any:
        return float(amount(radius / norm)) if radius and norm else gr.skip()

    def _to_radius(self, relative: float | None, norm: float | None) -> Any:
        return float(amount(relative * norm)) if relative and norm else gr.skip()
