"""The base of tabs that start a job of the server and follow it: Start, Stop, progress, and the last result."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.jobs.study import Study
from melbo_app.library.damage import Listed
from melbo_app.library.job_records import JobRecord
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import button
from melbo_app.ui.forms import asked_by
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

UNDER_WAY = "under way"  # in place of the result's key while a job runs


class JobTab(ABC):
    """A tab with one kind of job; the finished part of a result is shown while the job runs.

    Attributes:
        kind: the kind of the jobs.
        stopped: the message after a stop without a result.
        shown: the state with the result that the page shows, or None.
        view_inputs: the fields that decide how a result is shown.
        job_outputs: what ``show_job`` changes.
    """

    kind: ClassVar[str]
    stopped: ClassVar[str] = "Stopped."
    start: gr.Button
    stop: gr.Button
    progress: gr.HTML
    job_outputs: list[Block]

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self.shown = gr.State(None)
        self.view_inputs: list[Component] = []

    def _toolbar(self, name: str, start: str, width: int = 110, **options: Any) -> None:
        """A row with Start, Stop and progress."""
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = button(start, f"{name}-start", width, variant="primary", **options)
            self.stop = button("Stop", f"{name}-stop", 80)
            self.progress = progress_bar(resting(), elem_id=f"{name}-progress")

    def _bind_job(self, opened: Any, inputs: Iterable[Component], outputs: list[Block], *also: Any) -> list[Dependency]:
        """Bind Start and Stop; after ``opened``, of the view, and the events ``also``, the last result is shown."""
        outputs = [self.shown, self.progress, *outputs]
        runs = [self._runs.bind(self.start.click, self._start, {*inputs, *self.view_inputs}, outputs, self.progress)]
        for trigger in (opened, *also):
            seen = {self.shown, *self.view_inputs}
            runs.append(self._runs.bind(trigger, self._show_last, seen, outputs, self.progress))
        self._runs.bind_stop(self.stop, self.progress)
        return runs

    def _start(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        job = self._workbench.start(self._study(values), who=asked_by(request))
        yield from self._follow(request, job, values, own=True)

    def _show_last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Follow the job that runs, or show the last result, unless this page shows it already."""
        if self._is_current(values) or self._runs.busy(request):
            return
        running = self._running(values)
        if running:
            yield from self._follow(request, running[-1], values, own=False)
        else:
            yield from self._last(request, values)

    def _follow(self, request: gr.Request, job: Job[Any, Any], values: Values, *, own: bool) -> Iterator[Changes]:
        drawn = None

        def draw(step: Any) -> Changes:
            nonlocal drawn
            part = None if step is None else self._part(step)
            if part is None or part == drawn:  # not twice: the view may have been changed since
                return {}
            drawn = part
            return self._draw(job, part, values)

        yield self._begun()
        ended = yield from self._runs.follow(request, job, self.progress, own=own, draw=draw)
        if ended and job.result is None:
            yield {**self._halted(drawn, values), self.progress: resting(self.stopped)}
        elif ended:
            yield self._made(job, job.result, values, job.result == drawn)

    def show_job(self, record: JobRecord) -> Changes:
        """Show what a job made. Raises InputError if that is gone."""
        raise InputError("job", "its result has no view", "Run it again")

    @abstractmethod
    def _study(self, values: Values) -> Study[Any]: ...
    @abstractmethod
    def _draw(self, job: Job[Any, Any], part: Any, values: Values) -> Changes:
        """Show a result, or its finished part."""

    @abstractmethod
    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Show the last result."""

    def _made(self, job: Job[Any, Any], result: Any, values: Values, is_drawn: bool) -> Changes:
        """Show the result of a job, unless it is drawn already."""
        changes = {} if is_drawn else self._draw(job, result, values)
        return {**changes, self.progress: resting(self._summary(result))}

    def _summary(self, result: Any) -> str:
        """A result in a few words, beside the buttons."""
        return ""

    def _is_current(self, values: Values) -> bool:
        """Whether the page shows a result of the loaded model."""
        shown = values[self.shown]
        return shown is not None and shown.model_hash == self._workbench.model_state().weights_hash

    def _running(self, values: Values) -> list[Job[Any, Any]]:
        """The jobs of this tab, oldest first."""
        return self._workbench.active_jobs(self.kind)

    def _begun(self) -> Changes:
        """Clear the views of an earlier result."""
        return {}

    def _part(self, progress: Any) -> Any:
        """The unfinished result in a job's progress, or None."""
        return None

    def _halted(self, drawn: Any, values: Values) -> Changes:
        """Change the views after a stop without a result; ``drawn`` is the part that they show."""
        return {}


class HistoryTab(JobTab):
    """A job tab with a list of earlier results. ``shown`` is the key of one, or ``UNDER_WAY``."""

    history: gr.Dropdown

    def _bind_history(self, opened: Any, inputs: Iterable[Component], views: list[Block], *more: Block) -> None:
        outputs = [*views, self.history, *more]
        for run in self._bind_job(opened, inputs, outputs):
            bind(run.failure, self._failed, [self.shown], [self.shown, self.progress, *outputs])
        bind(self.history.change, self._choose, [self.history, self.shown], [self.shown, self.progress, *views])

    def show_job(self, record: JobRecord) -> Changes:
        """Show the result that was made while a job ran. Raises InputError if it is gone, or of another model."""
        every, ended = self._found(), record.ended or datetime.now(UTC)
        begun = record.started or record.created
        found = next((one for one in every if begun <= one.created <= ended), None)
        if found is None:
            problem = "it is no longer kept, or another model is loaded"
            raise InputError("result", problem, "Load its model, or run the job again")
        return {**self._chosen(found), **self._list(every, found.key)}

    def _result(self, key: str | None) -> Any:
        """The result with this key, of those that ``_found`` lists. Raises InputError."""
        found = next((one for one in self._found() if one.key == key), None)
        if found is None:
            raise InputError("result", "none is shown", "Start one, or choose an earlier one")
        return found

    def _begun(self) -> Changes:
        return {self.shown: UNDER_WAY, self.history: gr.Dropdown(value=None)}

    def _is_current(self, values: Values) -> bool:
        found = self._found()
        tell(found.damaged)
        return not self._running(values) and any(one.key == values[self.shown] for one in found)

    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        found = self._found()
        if found:
            yield {**self._chosen(found[0]), **self._list(found, found[0].key)}
        else:
            yield {**self._none(found), self.progress: resting()}

    def _made(self, job: Job[Any, Any], result: Any, values: Values, is_drawn: bool) -> Changes:
        return {**self._chosen(result), **self._list(self._found(), result.key)}

    def _halted(self, drawn: Any, values: Values) -> Changes:
        return self._none(self._found())

    def _none(self, listed: Listed[Any]) -> Changes:
        return {self.shown: None, **self._empty(), **self._list(listed, None)}

    def _list(self, listed: Listed[Any], key: str | None) -> Changes:
        choices = [(self._line(one), one.key) for one in listed]
        return {self.history: gr.Dropdown(choices=choices, value=key)}

    def _chosen(self, found: Any) -> Changes:
        return {self.shown: found.key, **self._show(found), self.progress: resting(self._summary(found))}

    def _failed(self, request: gr.Request, shown: str | None) -> Changes:
        """After a refusal before the job began, the result that is shown stays."""
        return self._none(self._found()) if shown == UNDER_WAY and not self._runs.busy(request) else {}

    def _choose(self, key: str | None, shown: str | None) -> Changes:
        """Show the result that was chosen in the list, unless the page shows it already."""
        if key is None or shown in (key, UNDER_WAY):
            return {}
        found = next((one for one in self._found() if one.key == key), None)
        if found is None:
            raise InputError("result", "it no longer exists", "Choose another one")
        return self._chosen(found)

    @abstractmethod
    def _found(self) -> Listed[Any]:
        """The results of the loaded model, newest first."""

    @abstractmethod
    def _show(self, found: Any) -> Changes: ...
    @abstractmethod
    def _empty(self) -> Changes: ...
    @abstractmethod
    def _line(self, found: Any) -> str: ...
