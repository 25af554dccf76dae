"""The work that a browser tab has started: each kind is followed to its end, and Stop or the next press ends it."""

import html
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.study import Study
from melbo_app.ui.components.progress_bar import resting, working
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import sentence
from melbo_app.workbench import Workbench

FRAME = 0.15  # seconds between two looks at work; nobody could read more
NOTHING_RUNS = "Nothing is running."
AT_ONCE = 32  # browser tabs that do one kind of work at a time: only those that are served can share passes

Result = TypeVar("Result")
Draw = Callable[[Any], Changes]
"""Shows the work's progress (None before the first) beyond the bar."""


class Followed(Protocol):
    """A job of the server, or the download of a model."""

    @property
    def progress(self) -> Any: ...
    @property
    def error(self) -> str | None: ...
    def wait(self, seconds: float | None = None) -> bool: ...
    def stop(self) -> None: ...


class Run(threading.Event):
    """Set when the work should stop: after Stop, after the next press, or when the page was left."""

    def __init__(self) -> None:
        super().__init__()
        self._left = leaving()

    @property
    def pressed(self) -> bool:
        """Whether a person asked for the stop. Leaving the page does not stop jobs of the server."""
        return super().is_set()

    def is_set(self) -> bool:
        return self.pressed or self._left()


def _nothing(step: Any) -> Changes:
    return {}


class Runs:
    """One kind of work; a browser tab has at most one of it running."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._stops: dict[str, Run] = {}

    @contextmanager
    def start(self, request: gr.Request) -> Iterator[Run]:
        """The event that stops the work inside; an earlier run of the same browser tab is asked to stop."""
        tab = request.session_hash or ""
        self.stop(request)
        stop = self._stops[tab] = Run()
        try:
            yield stop
        finally:
            stop.set()  # the page was left, or the work has ended
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def do(
        self, request: gr.Request, study: Study[Result], bar: gr.HTML, begin: str, draw: Draw = _nothing,
        stage: Callable[[Any], str] = attrgetter("stage"),
    ) -> Generator[Changes, None, tuple[Result, bool] | None]:  # fmt: skip
        """Do a study here and now, and show its progress in ``bar``, at first with the words of ``begin``.

        Returns its result, and whether it was stopped; None where a later run took its place, and nothing more is to
        be shown. Raises Stopped where nothing was finished.
        """
        with self.start(request) as stop, closing(self._workbench.run(study, stop=stop.is_set)) as work:
            yield {bar: working(begin), **draw(None)}
            last = 0.0
            while True:
                try:
                    step = next(work)
                except StopIteration as end:
                    return None if self.replaced(request, stop) else (end.value, stop.is_set())
                if time.monotonic() - last >= FRAME and not self.replaced(request, stop):
                    last = time.monotonic()
                    text = "Stopping" if stop.is_set() else stage(step)
                    yield {bar: working(text, step.done / max(1, step.total)), **draw(step)}

    def follow(
        self, request: gr.Request, job: Followed, bar: gr.HTML, *, own: bool, draw: Draw = _nothing
    ) -> Generator[Changes, None, bool]:
        """Follow a job to its end, and show its progress in ``bar``.

        The job goes on when the page is left. Stop ends it, and so does the tab's next run if this tab started the job
        (``own``). Returns whether the end was reached; otherwise a later run took its place or the page was left, and
        nothing more is to be shown. Raises MelboError where the job failed.
        """
        with self.start(request) as stop:
            yield {bar: working("starting"), **draw(None)}
            shown: Any = None
            stopping = False
            while not job.wait(FRAME):
                replaced = self.replaced(request, stop)
                if stop.pressed and not stopping and (own or not replaced):
                    _stop(job, stop)
                if replaced or (stop.is_set() and not stop.pressed):
                    return False
                if stop.pressed and not stopping:
                    stopping = True
                    yield {bar: working("Stopping"), **draw(None)}
                step: Any = job.progress
                if step is not shown and not stopping:
                    shown = step
                    yield {bar: working(step.stage, step.done / max(1, step.total)), **draw(step)}
        if job.error:
            raise MelboError(job.error)
        return True

    def replaced(self, request: gr.Request, stop: Run) -> bool:
        """Whether a later run of this browser tab took the place of the one that ``stop`` belongs to."""
        return self._stops.get(request.session_hash or "") is not stop

    def busy(self, request: gr.Request) -> bool:
        """Whether this browser tab has such work running."""
        return (request.session_hash or "") in self._stops

    def stop(self, request: gr.Request) -> bool:
        """Ask the work of this browser tab to stop; False if none runs."""
        stop = self._stops.get(request.session_hash or "")
        if stop is None:
            return False
        stop.set()
        return True

    def bind(self, trigger: Callable[..., Any], fn: Callable[..., Any], inputs: Any, outputs: Any, bar: gr.HTML) -> Any:
        """Bind an event that does or follows this work, for several browser tabs at once; ``bar`` shows its end."""
        shared = f"runs-{id(self)}"
        run = bind(
            trigger, fn, inputs, outputs, trigger_mode="multiple", concurrency_limit=AT_ONCE, concurrency_id=shared
        )
        bind(run.failure, lambda: resting("Not finished."), None, bar)
        return run

    def bind_stop(self, button: gr.Button, bar: gr.HTML) -> None:
        """Bind the Stop button. The run itself says that it stops: from here, the words could come after its end."""
        self.bind_stopping(button.click, bar)

    def bind_stopping(self, trigger: Callable[..., Any], bar: gr.HTML) -> None:
        """The same for the event of a component that has its own Stop."""
        bind(trigger, self._press_stop, None, bar)

    def _press_stop(self, request: gr.Request) -> Any:
        return gr.skip() if self.stop(request) else resting(NOTHING_RUNS)


def _stop(job: Followed, stop: threading.Event) -> None:
    """Stop a job; if this person may not, say why and go on following it."""
    try:
        job.stop()
    except InputError as refused:
        gr.Warning(html.escape(sentence(str(refused))), title="Cannot do that", duration=12)
        stop.clear()
