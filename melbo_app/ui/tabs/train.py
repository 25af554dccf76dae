"""Train: new vectors on the prompt."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.engine.training_config import CLIMBING, DEFAULT_STEPS, TrainingConfig
from melbo_app.errors import InputError, MelboError
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.train import Train
from melbo_app.ui.bank_names import free_name
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.effect_table import TERMS, effect_table
from melbo_app.ui.fields import choice, number, small_button, text, whole_number
from melbo_app.ui.forms import asked_by, bank_chosen, optional_layer, optional_real, prompts_from, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.leaving import leaving
from melbo_app.ui.method_form import USUAL, VECTORS, MethodForm, steps_label
from melbo_app.ui.present import amount, bank_choices, job_progress
from melbo_app.ui.runs import NOTHING_RUNS, Runs
from melbo_app.ui.session import SCOPES, Session, default_scope
from melbo_app.workbench import Workbench

EMPTY = "This plot will show the objective of each vector during training."


class Finished(NamedTuple):
    """A trained bank, whether this page started the training, and the job's number."""

    bank: str
    own: bool
    id: int


class TrainTab:
    """The tab Train."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self.watched = gr.State([])  # the trainings that this page started
        self._norm = gr.State(None)
        self._kept = KeptForm("train")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=4, min_width=330, elem_id="train-form"):
                self.name = gr.Textbox(label="Bank name (optional)", max_lines=1, elem_id="train-name")
                self.how = MethodForm()
                with gr.Row(elem_classes="mx-fields"):
                    self.source = whole_number("Source layer", "train-source")
                    self.target = whole_number("Target layer", "train-target")
                    self.vectors = whole_number("Vectors", "train-vectors", VECTORS)
                    self.steps = whole_number(steps_label("joint"), "train-steps", DEFAULT_STEPS["joint"])
                with gr.Row(elem_classes="mx-fields"):
                    self.radius = number("R", "train-radius", width=74)
                    self.relative = number("R × median norm", "train-relative", width=100, step=0.01)
                    self.how.budget()
                    self.scope = choice("Token scope", "train-scope", SCOPES, SCOPES[0], 120, allow_custom_value=True)
                self.norm = note_view(elem_id="train-norm")
                with gr.Row(elem_classes="mx-toolbar"):
                    self.calibrate = small_button("Calibrate R", "train-calibrate", 100)
                    self.find = small_button("Find R and budget", "train-find", 130)
                    self.calibrating = progress_bar(resting(), elem_id="calibrate-progress")
                with gr.Accordion("Objective, options and seed", open=False, elem_id="train-more"):
                    with gr.Row(elem_classes="mx-fields"):
                        self.p = number("p", "train-p", 2)
                        self.q = text("q (default: p)", "train-q", width=80)
                        self.seed = whole_number("Seed", "train-seed", 0)
                    self.how.options()
                with gr.Row(elem_classes="mx-toolbar"):
                    self.start = gr.Button("Train", variant="primary", elem_id="train-start", min_width=110)
                    self.stop = gr.Button("Stop", elem_id="train-stop", min_width=80)
            with gr.Column(scale=6, min_width=340):
                self.progress = progress_bar(resting(), elem_id="train-progress")
                self.again = gr.Button("Save the trained bank again", elem_id="train-save-again", visible=False)
                self.curves = plotly_view({"message": EMPTY}, elem_id="train-curves")
                self.effect = record_table(elem_id="train-effect")
                note_view(note(TERMS), elem_id="train-terms")
                self.use = gr.Button("Use the trained bank", elem_id="train-use", visible=False)
        place: list[Block] = [self.source, self.target, self.radius, self.relative, self._norm, self.norm]
        self.place_outputs = place
        self.form_outputs = [*self.place_outputs, self.scope]
        self.suggest_inputs: set[Component] = {*session.prompt_inputs, session.scope}
        self.job_outputs: list[Block] = [self.progress, self.curves, self.effect, self.again, self.use]

    def bind(self, wake: gr.Timer) -> None:
        """Bind the form; ``wake`` is the timer that watches the training."""
        session = self._session
        inputs = {
            self.watched, *session.prompt_inputs, self.name, self.source, self.target, self.radius, self.vectors,
            self.steps, self.p, self.q, self.scope, self.seed, *self.how.inputs,
        }  # fmt: skip
        self._wake = wake
        bind(self.start.click, self._start, inputs, [self.progress, self.watched, wake])
        bind(self.stop.click, self._stop, None, self.progress)
        bind(self.again.click, self._save_again, [session.prompt, self.name], [self.progress, self.again, session.bank])
        bind(self.use.click, self._use, None, session.bank_outputs)
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
        latest = {"trigger_mode": "always_last"}
        bind(session.prompt.change, self.offer_name, session.prompt, self.name, **latest)
        bind(session.template.change, self._suggest_again, self.suggest_inputs, self.form_outputs, **latest)
        bind(session.scope.input, lambda scope: scope, session.scope, self.scope)
        kept = [*(field for field in inputs if field not in (self.watched, *session.prompt_inputs)), self.relative]
        shown: list[Block] = [self._norm, self.norm, self.how.about]
        self._kept.bind(kept, self._norm.change, self._put_back, session.prompt_inputs, shown)

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

    def layers(self, values: Values) -> tuple[int, int]:
        """The layers in the form; those that are missing as the model has them. Raises InputError."""
        source, target = values[self.source], values[self.target]
        return self._workbench.layers(optional_layer("source layer", source), optional_layer("target layer", target))

    def suggest(self, values: Values) -> Changes:
        """Fill ``form_outputs`` for the loaded model and this prompt."""
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
        }

    def _suggest_again(self, values: Values) -> Changes:
        """The same for another template, which has changed the scope already."""
        return {field: value for field, value in self.suggest(values).items() if field is not self.scope}

    def offer_name(self, text: str) -> gr.Textbox:
        """The name field: its placeholder is the default name, and its text is left alone."""
        return gr.Textbox(placeholder=free_name(self._workbench, text))

    def next_name(self, text: str, name: str, finished: Finished | None) -> gr.Textbox:
        """The name field after a training: emptied if it still holds the name of this page's new bank."""
        used = finished is not None and finished.own and name is not None and name.strip() == finished.bank
        free = free_name(self._workbench, text)
        return gr.Textbox(value="", placeholder=free) if used else gr.Textbox(placeholder=free)

    def watch(self) -> Changes:
        """Show the training that runs, or the last one, in ``job_outputs``."""
        job, waiting = self._workbench.training_job(), self._workbench.unsaved_bank()
        bank = None if job is None or job.is_active else job.result
        again, use = gr.Button(visible=False), gr.Button(visible=False)
        if waiting:
            again = gr.Button(f"Save “{waiting}” again", visible=True)
        if bank is not None:
            use = gr.Button(f"Use “{bank.record.name}” for steering", visible=True)
        effect = effect_table(bank.record, len(bank.vectors)) if bank is not None else {}
        changes: Changes = {self.progress: self._progress(), self.effect: effect, self.again: again, self.use: use}
        if job is not None and job.progress is not None and job.progress.curves:
            from melbo_app.analysis.training_figure import curves_figure  # late: plotly takes a second to import

            progress = job.progress
            curves = [list(curve) for curve in progress.curves]
            changes[self.curves] = figure_value(curves_figure(curves, progress.done, progress.total, job.title))
        return changes

    def _progress(self) -> dict[str, Any]:
        waiting = [job.title for job in self._workbench.active_jobs("training") if job.state == "waiting"]
        return job_progress(self._workbench.training_job(), waiting)

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
        source, target = self._pair(values)
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
        config = TrainingConfig(*self._pair(values), 1.0, vectors, method, scope=values[self.scope], seed=seed)
        study = SearchSettings.before(prompts, config, SEARCH_SECONDS)
        done = yield from self._runs.do(request, study, self.calibrating, "looking at the unsteered text")
        if done is not None:
            found, _ = done
            reason = f"{found.reason[0].upper()}{found.reason[1:]}."
            at = self._at(after_search(config, found.best).radius, found.median_norm, reason)
            budget = amount(found.best.effect_budget)
            yield {**at, self.calibrating: resting("Done."), self.how.saturation: budget}

    def _pair(self, values: Values) -> tuple[int, int]:
        return whole("source layer", values[self.source]), whole("target layer", values[self.target])

    def _start(self, request: gr.Request, values: Values) -> Changes:
        source, target = self._pair(values)
        config = TrainingConfig(
            source=source,
            target=target,
            radius=real("R", values[self.radius]),
            p=real("p", values[self.p]),
            q=optional_real("q", values[self.q]),
            scope=values[self.scope],
            **self.how.values(values, self._session),
        )
        prompts = self._session.prompts(values)
        name = values[self.name].strip() or free_name(self._workbench, values[self._session.prompt])
        job = self._workbench.start(Train(prompts=prompts, config=config, name=name), who=asked_by(request))
        watched = [*values[self.watched], job.id]
        return {self.progress: self._progress(), self.watched: watched, self._wake: gr.Timer(0.7)}

    def _use(self) -> Changes:
        job = self._workbench.training_job()
        made = job.result.record.name if job is not None and job.result is not None else None
        return self._session.open_bank(self._workbench.bank(bank_chosen(made)).record.name)

    def _stop(self) -> Any:
        job = self._workbench.training_job()
        if job is None or not job.is_active:
            return resting(NOTHING_RUNS)
        job.stop()
        return self._progress()

    def _save_again(self, text: str, name: str) -> Changes:
        """Save the bank that waits; if its name is taken by now, under the name in the field."""
        waiting = self._workbench.unsaved_bank()
        taken = any(line.name == waiting for line in self._workbench.banks())
        other = name.strip() or free_name(self._workbench, text)
        bank = self._workbench.save_again(other if taken else None).record.name
        return {
            self.progress: resting(f"{bank} is saved."),
            self.again: gr.Button(visible=False),
            self._session.bank: gr.Dropdown(choices=bank_choices(self._workbench.banks()), value=bank),
        }

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
