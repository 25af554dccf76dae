"""Train: new vectors on the prompt, with the settings of the form."""

from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from melbo_app.studies.train import Train
from melbo_app.ui.bank_names import free_name
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.effect_table import TERMS, effect_table
from melbo_app.ui.fields import button, small_button
from melbo_app.ui.forms import asked_by, bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import bank_choices, job_progress
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import NOTHING_RUNS
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

EMPTY = "This plot will show the objective of each vector during training."


class Finished(NamedTuple):
    """A trained bank, whether this page started the training, and the job's number."""

    bank: str
    own: bool
    id: int


class TrainTab:
    """The view Train."""

    def __init__(self, workbench: Workbench, session: Session, form: TrainingForm) -> None:
        self._workbench, self._session, self._form = workbench, session, form
        self.watched = gr.State([])  # the trainings that this page started
        with gr.Row(elem_classes="mx-fields"):
            self.name = gr.Textbox(label="Bank name (optional)", max_lines=1, elem_id="train-name", min_width=220)
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = button("Train", "train-start", 110, variant="primary")
            self.stop = button("Stop", "train-stop", 80)
            self.progress = progress_bar(resting(), elem_id="train-progress")
        with gr.Row(elem_classes="mx-toolbar"):
            self.again = small_button("Save the trained bank again", "train-save-again", 190, visible=False)
            self.use = small_button("Use the trained bank", "train-use", 150, visible=False)
            self.open = small_button("Open in Read", "train-open", 120, visible=False)
        self.curves = plotly_view({"message": EMPTY}, elem_id="train-curves")
        self.effect = record_table(elem_id="train-effect")
        note_view(note(TERMS), elem_id="train-terms")
        self.job_outputs: list[Block] = [self.progress, self.curves, self.effect, self.again, self.use, self.open]

    def bind(self, wake: gr.Timer, rooms: Rooms, completions: CompletionsTab) -> None:
        """Bind training; ``wake`` is the timer that watches it."""
        session, form = self._session, self._form
        self._wake, self._rooms = wake, rooms
        inputs = {self.watched, self.name, *form.inputs}
        bind(self.start.click, self._start, inputs, [self.progress, self.watched, wake])
        bind(self.stop.click, self._stop, None, self.progress)
        bind(self.again.click, self._save_again, [session.prompt, self.name], [self.progress, self.again, session.bank])
        bind(self.use.click, self._use, None, session.bank_outputs)
        opened = bind(self.open.click, self._open, None, [*rooms.outputs, *session.bank_outputs])
        completions.steer_after(opened.success)
        bind(rooms.opened("train"), self.offer_name, session.prompt, self.name)
        bind(session.prompt.change, self.offer_name, session.prompt, self.name, trigger_mode="always_last")

    def offer_name(self, text: str | None) -> gr.Textbox:
        """The name field: its placeholder is the default name, and its text is left alone. A page that opens here asks
        before it has a prompt."""
        return gr.Textbox(placeholder=free_name(self._workbench, text or ""))

    def next_name(self, text: str, name: str, finished: Finished | None) -> gr.Textbox:
        """The name field after a training: emptied if it still holds the name of this page's new bank."""
        used = finished is not None and finished.own and name is not None and name.strip() == finished.bank
        free = free_name(self._workbench, text)
        return gr.Textbox(value="", placeholder=free) if used else gr.Textbox(placeholder=free)

    def watch(self) -> Changes:
        """Show the training that runs, or the last one, in ``job_outputs``."""
        job, waiting = self._workbench.training_job(), self._workbench.unsaved_bank()
        bank = None if job is None or job.is_active else job.result
        again, use, read = (gr.Button(visible=False) for _ in range(3))
        if waiting:
            again = gr.Button(f"Save “{waiting}” again", visible=True)
        if bank is not None:
            use, read = gr.Button(f"Use “{bank.record.name}” for steering", visible=True), gr.Button(visible=True)
        effect = effect_table(bank.record, len(bank.vectors)) if bank is not None else {}
        changes: Changes = {
            self.progress: self._progress(), self.effect: effect, self.again: again, self.use: use, self.open: read,
        }  # fmt: skip
        if job is not None and job.progress is not None and job.progress.curves:
            from melbo_app.analysis.training_figure import curves_figure  # late: plotly takes a second to import

            progress = job.progress
            curves = [list(curve) for curve in progress.curves]
            changes[self.curves] = figure_value(curves_figure(curves, progress.done, progress.total, job.title))
        return changes

    def _progress(self) -> dict[str, Any]:
        waiting = [job.title for job in self._workbench.active_jobs("training") if job.state == "waiting"]
        return job_progress(self._workbench.training_job(), waiting)

    def _start(self, request: gr.Request, values: Values) -> Changes:
        config = self._form.training(values)
        prompts = self._session.prompts(values)
        name = values[self.name].strip() or free_name(self._workbench, values[self._session.prompt])
        job = self._workbench.start(Train(prompts=prompts, config=config, name=name), who=asked_by(request))
        watched = [*values[self.watched], job.id]
        return {self.progress: self._progress(), self.watched: watched, self._wake: gr.Timer(0.7)}

    def _use(self) -> Changes:
        job = self._workbench.training_job()
        made = job.result.record.name if job is not None and job.result is not None else None
        return self._session.open_bank(self._workbench.bank(bank_chosen(made)).record.name)

    def _open(self) -> Changes:
        return {**self._use(), **self._rooms.show("completions")}

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
