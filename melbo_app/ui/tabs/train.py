"""Train: new vectors on the prompt at the left."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.engine.training_config import CLIMBING, DEFAULT_STEPS, TrainingConfig
from melbo_app.errors import InputError, MelboError
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.train import Train
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.effect_table import effect_table
from melbo_app.ui.forms import Returning, asked_by, bank_chosen, optional_real, prompts_from, real, whole
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.method_form import VECTORS, MethodForm, steps_label
from melbo_app.ui.present import amount, bank_choices, job_progress
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import SCOPES, Session, default_scope
from melbo_app.workbench import Workbench

EMPTY = "The objective of each vector is drawn here while it is trained."


class TrainTab:
    """The fourth tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs()
        self.watched = gr.State([])  # the trainings that were started from this page
        self._norm = gr.State(None)
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=4, min_width=330, elem_id="train-form"):
                self.name = gr.Textbox(label="Bank name (empty: the one offered)", max_lines=1, elem_id="train-name")
                self.how = MethodForm()
                with gr.Row(elem_classes="mx-fields"):
                    self.source = _number("Source layer", "train-source")
                    self.target = _number("Target layer", "train-target")
                    self.vectors = _number("Vectors", "train-vectors", VECTORS)
                    self.steps = _number(steps_label("joint"), "train-steps", DEFAULT_STEPS["joint"])
                with gr.Row(elem_classes="mx-fields"):
                    self.radius = gr.Number(label="R", elem_id="train-radius", min_width=74)
                    self.relative = gr.Number(
                        label="R × median norm", step=0.01, elem_id="train-relative", min_width=100
                    )
                    self.how.budget()
                    self.scope = gr.Dropdown(
                        SCOPES, value=SCOPES[0], label="Token scope", allow_custom_value=True, elem_id="train-scope",
                        min_width=120,
                    )  # fmt: skip
                self.norm = note_view(elem_id="train-norm")
                with gr.Row(elem_classes="mx-toolbar"):
                    self.calibrate = gr.Button(
                        "Calibrate R", elem_id="train-calibrate", size="sm", scale=0, min_width=100
                    )
                    self.find = gr.Button("Find R and budget", elem_id="train-find", size="sm", scale=0, min_width=130)
                    self.calibrating = progress_bar(resting(), elem_id="calibrate-progress")
                with gr.Accordion("Objective, options and seed", open=False, elem_id="train-more"):
                    with gr.Row(elem_classes="mx-fields"):
                        self.p = gr.Number(2, label="p", elem_id="train-p", min_width=80)
                        self.q = gr.Textbox(label="q (empty: as p)", elem_id="train-q", min_width=80)
                        self.seed = _number("Seed", "train-seed", 0)
                    self.how.options()
                with gr.Row(elem_classes="mx-toolbar"):
                    self.start = gr.Button("Train", variant="primary", elem_id="train-start", min_width=110)
                    self.stop = gr.Button("Stop", elem_id="train-stop", min_width=80)
            with gr.Column(scale=6, min_width=340):
                self.progress = progress_bar(resting(), elem_id="train-progress")
                self.again = gr.Button("Save the trained bank again", elem_id="train-save-again", visible=False)
                self.curves = plotly_view({"message": EMPTY}, elem_id="train-curves")
                self.effect = record_table(elem_id="train-effect")
                self.use = gr.Button("Use the trained bank", elem_id="train-use", visible=False)
        self.form_outputs = [
            self.source, self.target, self.scope, self.radius, self.relative, self._norm, self.norm,
        ]  # fmt: skip
        self.place_outputs = [self.source, self.target, self.radius, self.relative, self._norm, self.norm]
        self.suggest_inputs = [*session.prompt_inputs, session.scope]
        self.job_outputs = [self.progress, self.curves, self.effect, self.again, self.use]

    def bind(self, wake: gr.Timer) -> None:
        """Bind the form; ``wake`` is the timer that watches the training."""
        session = self._session
        inputs = [
            self.watched, *session.prompt_inputs, self.name, self.source, self.target, self.radius, self.vectors,
            self.steps, self.p, self.q, self.scope, self.seed, *self.how.inputs,
        ]  # fmt: skip
        bind(self.start.click, self._start, inputs, [self.progress, self.watched, wake])
        bind(self.stop.click, self._stop, None, self.progress)
        fields = [session.prompt, self.name]
        bind(self.again.click, self._save_again, fields, [self.progress, self.again, session.bank])
        bind(self.use.click, self._use, None, session.bank_outputs)
        self.how.bind(self.vectors, self.steps, self.seed)
        bind(self.radius.input, self._to_relative, [self.radius, self._norm], self.relative)
        bind(self.relative.input, self._to_radius, [self.relative, self._norm], self.radius)
        bind(
            self.source.input, self._measure, [*session.prompt_inputs, self.source, self.radius],
            [self._norm, self.norm, self.relative], trigger_mode="always_last",
        )  # fmt: skip
        place = [*session.prompt_inputs, self.source, self.target, self.scope]
        outputs = [self.radius, self.relative, self._norm, self.norm, self.calibrating]
        found = bind(self.calibrate.click, self._calibrate, place, outputs)
        bind(found.failure, lambda: resting("Not finished."), None, self.calibrating)
        look = [*place, self.vectors, self.seed, self.how.method]
        searched = bind(self.find.click, self._find, look, [*outputs, self.how.saturation])
        bind(searched.failure, lambda: resting("Not finished."), None, self.calibrating)
        bind(self.scope.input, lambda scope: scope, self.scope, session.scope)
        both = [session.scope, self.scope]
        bind(session.template.input, lambda template: [default_scope(template)] * 2, session.template, both)
        latest = {"trigger_mode": "always_last"}
        bind(session.prompt.change, self.offer_name, session.prompt, self.name, **latest)
        bind(session.template.change, self._suggest_again, self.suggest_inputs, self.form_outputs, **latest)
        bind(session.scope.input, lambda scope: scope, session.scope, self.scope)

    def suggest(self, text: str, system: str, template: str, scope: str) -> list[Any]:
        """Values of ``form_outputs`` for the loaded model and this prompt."""
        try:
            prompts = prompts_from(text, system, template)
        except MelboError:
            prompts = []
        if not self._workbench.model_state().loaded:
            return [gr.skip()] * len(self.form_outputs)
        try:
            found = self._workbench.suggestion(prompts, stop=leaving())
        except MelboError:  # the strip of tokens says what is wrong; the layers must be this model's all the same
            found = self._workbench.suggestion()
        return [
            found.source, found.target, scope, found.radius, float(amount(found.relative_radius)),
            found.median_norm, _norm_note(found.median_norm),
        ]  # fmt: skip

    def _suggest_again(self, *fields: Any) -> list[Any]:
        """The same for another template; the scope has been chosen already."""
        values = self.suggest(*fields)
        values[self.form_outputs.index(self.scope)] = gr.skip()
        return values

    def offer_name(self, text: str) -> Any:
        """The name field, which says what an empty one means; what a person writes into it is never touched."""
        return gr.Textbox(placeholder=self._free_name(text))

    def next_name(self, text: str, name: str, finished: list[Any] | None) -> Any:
        """The name field after a training: empty where it still holds the name that this page's bank was given."""
        used = finished is not None and finished[1] and name is not None and name.strip() == finished[0]
        free = self._free_name(text)
        return gr.Textbox(value="", placeholder=free) if used else gr.Textbox(placeholder=free)

    def _free_name(self, text: str) -> str:
        """A free name of the prompt's first words."""
        taken = {line.name.lower() for line in self._workbench.banks()}
        taken |= {job.record().request["name"].lower() for job in self._workbench.active_jobs("training")}
        words = re.findall(r"\w+", text.lower())[:4]
        stem = "-".join(words)[:40] or "bank"
        return next(name for name in (f"{stem}-{number}" for number in itertools.count(1)) if name not in taken)

    def watch(self) -> list[Any]:
        """Values of ``job_outputs`` for the training that runs, or the last one."""
        job, waiting = self._workbench.training_job(), self._workbench.unsaved_bank()
        again = gr.Button(f"Save “{waiting}” again", visible=True) if waiting else gr.Button(visible=False)
        bank = None if job is None or job.is_active else job.result
        use = gr.Button(visible=False)
        if bank is not None:
            use = gr.Button(f"Use “{bank.record.name}” for steering", visible=True)
        effect = effect_table(bank.record, len(bank.vectors)) if bank is not None else {}
        if job is None or job.progress is None or not job.progress.curves:
            return [self._progress(), gr.skip(), effect, again, use]
        from melbo_app.analysis.figures import curves_figure  # late: plotly takes a second to import

        progress = job.progress
        curves = [list(curve) for curve in progress.curves]
        figure = curves_figure(curves, progress.done, progress.total, job.title)
        return [self._progress(), figure_value(figure), effect, again, use]

    def _progress(self) -> dict[str, Any]:
        waiting = [job.title for job in self._workbench.active_jobs("training") if job.state == "waiting"]
        return job_progress(self._workbench.training_job(), waiting)

    def place(self, source: int, target: int, radius: float | None, norm: float) -> list[Any]:
        """Values of ``place_outputs`` for these layers; without an R, the one that stands there stays."""
        if radius is None:
            return [source, target, gr.skip(), gr.skip(), norm, _norm_note(norm)]
        radius = float(amount(radius))
        return [source, target, radius, float(amount(radius / norm)), norm, _norm_note(norm)]

    def _calibrate(
        self, request: gr.Request, text: str, system: str, template: str, source: float, target: float, scope: str
    ) -> Iterator[list[Any]]:
        """Fill in R by where what vectors change leaves the linear regime."""
        nothing, prompts = [gr.skip()] * 4, prompts_from(text, system, template)
        pair = whole("source layer", source), whole("target layer", target)
        study = Calibrate(prompts=prompts, source=pair[0], target=pair[1], scope=scope)
        yield [*nothing, working("calibrating")]
        with self._runs.start(request) as stop:
            run = Returning(self._workbench.run(study, stop=stop.is_set))
            for step in run:
                yield [*nothing, working(step.stage, step.done / step.total)]
        found = run.result
        _, _, radius, relative, norm, _ = self.place(*pair, found.suggested_radius, found.median_norm)
        yield [radius, relative, norm, _norm_note(norm, found.sentence), resting("Done.")]

    def _find(
        self, request: gr.Request, text: str, system: str, template: str, source: float, target: float, scope: str,
        vectors: float, seed: float, method: Any,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Fill in R and the effect budget by looking at short completions."""
        nothing, prompts = [gr.skip()] * 4, prompts_from(text, system, template)
        if method not in CLIMBING:
            raise InputError("method", f"{method} has no effect budget", f"Choose {', '.join(CLIMBING)}")
        pair = whole("source layer", source), whole("target layer", target)
        config = TrainingConfig(*pair, 1.0, whole("vectors", vectors), method, scope=scope, seed=whole("seed", seed))
        yield [*nothing, working("looking at the unsteered text"), gr.skip()]
        with self._runs.start(request) as stop:
            study = SearchSettings.before(prompts, config, SEARCH_SECONDS)
            run = Returning(self._workbench.run(study, stop=stop.is_set))
            for step in run:
                yield [*nothing, working(step.stage, step.done / step.total), gr.skip()]
        found = run.result
        config = after_search(config, found.best)
        _, _, radius, relative, norm, _ = self.place(*pair, config.radius, found.median_norm)
        said = _norm_note(norm, f"{found.reason[0].upper()}{found.reason[1:]}.")
        yield [radius, relative, norm, said, resting("Done."), amount(found.best.effect_budget)]

    def _start(
        self, request: gr.Request, watched: list[int], text: str, system: str, template: str, name: str,
        source: float, target: float, radius: float, vectors: float, steps: float, p: float, q: str, scope: str,
        seed: float, method: str, *options: Any,
    ) -> tuple[dict[str, Any], list[int], gr.Timer]:  # fmt: skip
        config = TrainingConfig(
            source=whole("source layer", source),
            target=whole("target layer", target),
            radius=real("R", radius),
            vectors=whole("vectors", vectors),
            steps=self.how.steps(method, steps),
            p=real("p", p),
            q=optional_real("q", q),
            scope=scope,
            seed=self.how.seed(method, seed),
            **self.how.values(system, template, method, *options),
        )
        prompts = prompts_from(text, system, template)
        name = name.strip() or self._free_name(text)
        job = self._workbench.start(Train(prompts=prompts, config=config, name=name), who=asked_by(request))
        return self._progress(), [*watched, job.id], gr.Timer(0.7)

    def _use(self) -> Changes:
        job = self._workbench.training_job()
        made = job.result.record.name if job is not None and job.result is not None else None
        return self._session.open_bank(self._workbench.bank(bank_chosen(made)).record.name)

    def _stop(self) -> Any:
        job = self._workbench.training_job()
        if job is None or not job.is_active:
            return resting("Nothing is under way.")
        job.stop()
        return self._progress()

    def _save_again(self, text: str, name: str) -> list[Any]:
        """Save what waits; under the name in the field where its own is taken by now."""
        waiting = self._workbench.unsaved_bank()
        taken = any(line.name == waiting for line in self._workbench.banks())
        other = name.strip() or self._free_name(text)
        bank = self._workbench.save_again(other if taken else None).record.name
        choices = bank_choices(self._workbench.banks())
        return [resting(f"{bank} is on the shelf."), gr.Button(visible=False), gr.Dropdown(choices=choices, value=bank)]

    def _measure(self, text: str, system: str, template: str, source: float | None, radius: float | None) -> list[Any]:
        if source is None or not self._workbench.model_state().loaded:
            return [gr.skip()] * 3
        prompts = prompts_from(text, system, template)
        norm = self._workbench.median_norm(prompts, whole("source layer", source), stop=leaving())
        return [norm, _norm_note(norm), self._to_relative(radius, norm)]

    def _to_relative(self, radius: float | None, norm: float | None) -> Any:
        return float(amount(radius / norm)) if radius and norm else gr.skip()

    def _to_radius(self, relative: float | None, norm: float | None) -> Any:
        return float(amount(relative * norm)) if relative and norm else gr.skip()


def _number(label: str, elem_id: str, value: int | None = None) -> gr.Number:
    return gr.Number(value, label=label, precision=0, elem_id=elem_id, min_width=70)


def _norm_note(norm: float, found: str = "") -> dict[str, Any]:
    known = f"Median residual norm at the source: {amount(norm, 4)}. The R at which texts break differs between models."
    return note(known, found)
