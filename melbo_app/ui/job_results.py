"""Opening what a job made, in the view that shows it."""

import gradio as gr
from gradio.blocks import Block

from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.jobs import JobsTab, job_chosen
from melbo_app.ui.tabs.map import MapTab
from melbo_app.workbench import Workbench


class JobResults:
    """``views`` has the tab of each kind of job that has one, and the name of its view."""

    def __init__(
        self, workbench: Workbench, session: Session, rooms: Rooms, completions: CompletionsTab,
        views: dict[str, tuple[JobTab, str]],
    ) -> None:  # fmt: skip
        self._workbench, self._session, self._rooms = workbench, session, rooms
        self._completions, self._views = completions, views
        self._map = gr.State(None)  # the map to open

    def bind(self, jobs: JobsTab, drawn: MapTab) -> None:
        """Bind the button below the list of jobs."""
        shown: list[Block] = [part for view, _ in self._views.values() for part in view.job_outputs]
        outputs = [*self._rooms.outputs, self._map, *self._completions.opened_outputs, *shown]
        opened = bind(jobs.result.click, self._open, jobs.chosen, outputs)
        drawn.bind_showing(opened.success, self._map)

    def _open(self, id: int | None) -> Changes:
        record = self._workbench.job(job_chosen(id))
        if record.kind in self._views:
            view, name = self._views[record.kind]
            return {**self._rooms.show(name), self._map: None, **view.show_job(record)}
        if record.kind == "map":
            return {**self._rooms.show("map"), self._map: record.comparison}
        shown: Changes = {**self._rooms.show("completions"), self._map: None}
        if record.comparison is not None:
            return {**shown, **self._completions.restore(record.comparison)}
        bank = self._workbench.bank(bank_chosen(record.bank)).record.name
        return {**shown, **self._session.open_bank(bank)}
