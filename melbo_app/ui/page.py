"""The page: the header, the context line, the list of vectors and the rooms, which it keeps up to date."""

import html
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import StorageError
from melbo_app.ui.answers import Answers
from melbo_app.ui.components.status_bar import status_bar
from melbo_app.ui.files import refuse_addresses
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.http_api import publish_api
from melbo_app.ui.job_results import JobResults
from melbo_app.ui.not_kept import NotKeptLine
from melbo_app.ui.opening import Opening
from melbo_app.ui.present import job_status, model_status, sentence
from melbo_app.ui.rooms import ROOMS, Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.sessions import use_sessions
from melbo_app.ui.stamps import Stamps
from melbo_app.ui.tabs.audit import AuditTab
from melbo_app.ui.tabs.banks import BanksTab
from melbo_app.ui.tabs.blind import BlindTab
from melbo_app.ui.tabs.chat import ChatTab
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.explore import ExploreTab
from melbo_app.ui.tabs.generality import GeneralityTab
from melbo_app.ui.tabs.guidelines import GuidelinesTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.jobs import JobsTab
from melbo_app.ui.tabs.label_trial import LabelTrialTab
from melbo_app.ui.tabs.labels import LabelsTab
from melbo_app.ui.tabs.layers import LayersTab
from melbo_app.ui.tabs.library import LibraryTab
from melbo_app.ui.tabs.look_for import LookForTab
from melbo_app.ui.tabs.map import MapTab
from melbo_app.ui.tabs.models import ModelsTab
from melbo_app.ui.tabs.organisms import OrganismsTab
from melbo_app.ui.tabs.radius import RadiusTab
from melbo_app.ui.tabs.similarity import SimilarityTab
from melbo_app.ui.tabs.start import StartTab
from melbo_app.ui.tabs.train import Finished, TrainTab
from melbo_app.ui.tabs.triggers import TriggersTab
from melbo_app.ui.tabs.watch import WatchTab
from melbo_app.ui.taking import save_as_bank, shelved
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

BUSY, IDLE = 0.7, 5.0  # seconds between two looks at a busy server, and at an idle one
THREADS = 128  # most wait for a pass that another one computes; with Gradio's 40 too few would be left for the page


def build_page(workbench: Workbench) -> gr.Blocks:
    """The whole page."""
    kept = (3600, 86400)  # every hour, uploads and downloads older than a day are removed
    use_sessions()
    refuse_addresses()
    with Answers(title="MELBO Explorer", fill_width=True, analytics_enabled=False, delete_cache=kept) as page:
        publish_api(workbench)  # first: a private event of the same name would take it
        Page(workbench)
    page.max_threads = THREADS
    return page


class Page:
    """The parts of the page, and the events between them."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.status = status_bar(self._status(), elem_id="status-bar")
        self.session = session = Session(workbench)
        with gr.Column(elem_id="jobs-tray"):
            self.jobs = JobsTab(workbench)
        with gr.Row(elem_id="workspace"):
            session.list_vectors()
            with gr.Column(elem_id="work"):
                self.not_kept = NotKeptLine(workbench)
                self.rooms = rooms = Rooms(self.status)
                with rooms.room("read"):
                    with rooms.view("completions"):
                        self.completions = CompletionsTab(workbench, session)
                    with rooms.view("map"):
                        self.map = MapTab(workbench, session, self.completions)
                    with rooms.view("similarity"):
                        self.similarity = SimilarityTab(workbench, session)
                    with rooms.view("chat"):
                        self.chat = ChatTab(workbench, session, self.completions)
                with rooms.room("find"), gr.Row(elem_id="find"):
                    self.form = form = TrainingForm(workbench, session)
                    with gr.Column(elem_id="found", min_width=0):
                        with rooms.view("explore"):
                            self.explore = ExploreTab(workbench, session, self.completions, form)
                        with rooms.view("look"):
                            self.look_for = LookForTab(workbench, session, self.completions, form)
                        with rooms.view("train"):
                            self.train = TrainTab(workbench, session, form)
                        with rooms.view("radius"):
                            self.radius = RadiusTab(workbench, session, self.completions, form)
                        with rooms.view("layers"):
                            self.layers = LayersTab(workbench, session, self.completions, form)
                        with rooms.view("generality"):
                            self.generality = GeneralityTab(workbench, session)
                with rooms.room("label"):
                    with rooms.view("label"):
                        self.labels = LabelsTab(workbench, session)
                    with rooms.view("trial"):
                        self.trial = LabelTrialTab(workbench, session, self.labels)
                    with rooms.view("blind"):
                        self.blind = BlindTab(workbench, session)
                with rooms.room("library"):
                    with rooms.view("banks"):
                        self.banks = BanksTab(workbench, session)
                    with rooms.view("library"):
                        self.library = LibraryTab(workbench, session, self.completions, self.chat, self.labels)
                    with rooms.view("guidelines"):
                        self.guidelines = GuidelinesTab(workbench)
                    with rooms.view("models"):
                        self.models = ModelsTab(workbench)
                with rooms.room("audit"):
                    with rooms.view("audit"):
                        self.audit = AuditTab(workbench, session)
                    with rooms.view("watch"):
                        self.watch = WatchTab(workbench, session)
                    with rooms.view("organisms"):
                        self.organisms = OrganismsTab(workbench)
                    with rooms.view("triggers"):
                        self.triggers = TriggersTab(workbench, session)
                with rooms.room("start"):
                    self.start = StartTab(workbench, session, self.completions)
        self.timer = gr.Timer(BUSY, active=False)  # a look before the page is open would fill in the form twice
        self._noticed = gr.State([[], []])  # numbers of the trainings active at the last look, and of ended ones
        self._finished = gr.State(None)  # the last training that was seen to end
        self._model = gr.State(None)  # hash of the model that the page showed last
        self.stamps = Stamps(workbench, session, self.completions)
        self._opening = Opening(workbench, session, self.completions)
        session.bind([form.source, form.target], self._model)
        self.completions.bind(self._model)
        self.explore.bind(rooms)
        self.look_for.bind(rooms)
        self.map.bind(rooms)
        self.similarity.bind(rooms)
        self.chat.bind(rooms, self._model)
        self.generality.bind(rooms, self.completions)
        self.train.bind(self.timer, rooms, self.completions)
        self.radius.bind(rooms)
        self.layers.bind(rooms)
        form.bind([self.train.name, *self.explore.fields, *self.look_for.fields])
        self.jobs.bind(self.status.jobs, self.timer)
        self.labels.bind(rooms)
        self.trial.bind(rooms)
        self.blind.bind(rooms)
        self.completions.steered_elsewhere(self.labels.evidence.steered)
        self.banks.bind(rooms)
        self.library.bind(rooms)
        self.guidelines.bind(rooms)
        self.models.bind(rooms, self.timer)
        self.audit.bind(rooms, self.completions)
        self.watch.bind(rooms, self.completions)
        self.triggers.bind(rooms)
        self.organisms.bind(rooms, self.timer)
        self.start.bind(rooms)
        self.not_kept.bind()
        self.stamps.bind(
            self.completions.grid, self.map.plot, self.similarity.delta, self.explore.view, self.radius.plot,
            self.radius.many.table, self.layers.plot, self.generality.grid, self.look_for.table,
            self.audit.table, self.watch.list,
        )  # fmt: skip
        rooms.bind()
        self._bind()

    def _bind(self) -> None:
        session, completions, train, rooms = self.session, self.completions, self.train, self.rooms
        look: list[Block] = [
            self.status, self.timer, self._noticed, self._finished, self._model, *train.job_outputs, *self.jobs.outputs,
            *self.not_kept.outputs,
        ]  # fmt: skip
        known: set[Component] = {train.watched, self._noticed, self._model, self.jobs.chosen, self.jobs.shown}
        bind(self.timer.tick, self._look, known, look, trigger_mode="once")
        context = gr.context.Context.root_block
        assert context is not None, "the page is built inside a Blocks"
        shown = [
            self.status, self.timer, self._model, *completions.opened_outputs, *train.job_outputs,
            session.scope, self.map.last,
        ]  # fmt: skip
        opened = bind(context.load, self._open, session.kept, shown, js="() => [melbo.restored()]")
        bind(opened.failure, lambda: gr.Timer(BUSY, active=True), None, self.timer)
        self.stamps.tell(opened.then)
        fits = [session.template, session.scope]
        restored = "(template, scope) => [template, scope, melbo.state]"
        changed = bind(self._model.change, session.for_model, [*fits, session.kept], fits, js=restored)
        bind(changed.then, None, None, None, js="() => { melbo.select({ fitted: melbo.state.model }); }")
        bind(changed.then, self.form.suggest, self.form.suggest_inputs, self.form.outputs)
        bind(self._model.change, session.list_banks, None, session.bank)
        bind(self._model.change, self.models.open, None, self.models.outputs)
        bind(self._model.change, completions.judge.look, completions.judge.inputs, completions.judge.outputs)
        taken = bind(self._finished.change, self._take_up, self._finished, session.bank_outputs)
        bind(taken.then, train.next_name, [session.prompt, train.name, self._finished], train.name)
        self._bind_results()
        pairs = self.similarity.pairs.texts
        for grid in (
            completions.grid, self.map.aside, pairs, self.radius.many.aside, self.explore.view, self.generality.grid,
            *self.watch.lists,
        ):  # fmt: skip
            outputs = [*rooms.outputs, *session.bank_outputs, *self.labels.outputs]
            bind(grid.annotate, self._label, {session.bank, *self.labels.form}, outputs)
        saved = bind(completions.grid.save_bank, self._save_bank, None, session.bank_outputs)
        bind(saved.success, *completions.redrawing)

    def _bind_results(self) -> None:
        """Bind opening the result of a job in its tab."""
        views: dict[str, tuple[JobTab, str]] = {
            "explore": (self.explore, "explore"), "curve": (self.radius, "radius"),
            "sweep": (self.radius.many, "radius"), "atlas": (self.layers, "layers"),
            "generality": (self.generality, "generality"), "find": (self.look_for, "look"),
            "audit": (self.audit, "audit"),
            "triggers": (self.triggers, "triggers"),
        }  # fmt: skip
        results = JobResults(self._workbench, self.session, self.rooms, self.completions, views)
        results.bind(self.jobs, self.map)

    def _open(self, kept: Any) -> Changes:
        return {
            self.status: self._status(),
            self.timer: gr.Timer(BUSY, active=True),
            self._model: self._workbench.model_state().weights_hash,
            **self._opening.shown(kept),
            **self.train.watch(),
            self.map.last: self.map.find_last(),
        }

    def _status(self) -> dict[str, Any]:
        active = self._workbench.active_jobs()
        waiting = sum(job.state == "waiting" for job in active if job.kind == "training")
        job = job_status(self._workbench.training_job(), waiting)
        # with the rooms each time: the header's script may come after a later status
        rooms = [{"room": name, "title": room.title} for name, room in ROOMS.items()]
        return {"rooms": rooms, **model_status(self._workbench.model_state()), **job, "jobs": len(active)}

    def _look(self, values: Values) -> Changes:
        """Show the state of the server; the next look comes soon while it is busy."""
        own, (seen, noted) = values[self.train.watched], values[self._noticed]
        state, active = self._workbench.model_state(), self._workbench.active_jobs()
        running = [job.id for job in active if job.kind == "training"]
        ended = [id for id in sorted({*seen, *own}) if id not in running and id not in noted]
        busy = active or state.loading or not (state.loaded or state.error)
        changes: Changes = {
            self.status: self._status(),
            self.timer: gr.Timer(BUSY if busy else IDLE),
            **self.jobs.look(values[self.jobs.chosen], values[self.jobs.shown]),
            **self.not_kept.look(),
        }
        if running or ended:
            changes |= self.train.watch()
        if ended or running != seen:
            changes[self._noticed] = [running, [*noted, *ended]]
        if state.loaded and state.weights_hash != values[self._model]:
            changes[self._model] = state.weights_hash
        for id in ended:
            try:
                record = self._workbench.job(id)
            except StorageError:  # repeated on every look, it would not help
                continue
            if record.state == "failed":
                gr.Warning(html.escape(sentence(record.error or "")), title="Training failed", duration=12)
            elif record.bank:
                where = "chosen for steering" if id in own else "in the list of banks"
                message = f"“{html.escape(record.bank)}” is trained and {where}."
                gr.Info(message, title="Training finished", duration=5)
                changes[self._finished] = Finished(record.bank, id in own, id)
        return changes

    def _take_up(self, finished: Finished | None) -> Changes:
        """Steer with a new bank if this page started its training; otherwise only list it."""
        if finished is None:
            return {}
        if finished.own:
            return self.session.open_bank(finished.bank)
        return {self.session.bank: self.session.list_banks()}

    def _save_bank(self, event: gr.EventData) -> Changes:
        """Put vectors that a curve trained on the shelf, and choose them."""
        return save_as_bank(self._workbench, self.session, event.bank_hash, None)

    def _label(self, event: gr.EventData, values: Values) -> Changes:
        """Open the label of a card's vector, and its bank if another one is chosen."""
        wanted = shelved(self._workbench, self.session, event.bank_hash, event.bank)
        shown: Changes = self.rooms.show("label")
        if wanted != values[self.session.bank]:
            shown |= self.session.open_bank(self._workbench.bank(wanted).record.name)
        return {**shown, **self.labels.move(wanted, int(event.vector), values)}
