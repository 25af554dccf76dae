"""Which work a browser tab has under way: it is followed to its end, and its Stop button and its next press end it."""

import html
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.ui.components.progress_bar import resting, working
from melbo_app.ui.forms import Returning
from melbo_app.ui.guard import bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import sentence

FRAME = 0.15  # seconds between two looks at work; more would be sent than read
AT_ONCE = 32  # browser tabs with one kind of work under way: who steers shares passes with those who are worked on

Step = TypeVar("Step")


def frames(steps: Iterable[Step]) -> Iterator[Step]:
    """As many of the steps as can be seen."""
    last = 0.0
    for step in steps:
        if time.monotonic() - last >= FRAME:
            last = time.monotonic()
            yield step


class Followed(Protocol):
    """What can be followed: a job of the server, or a model on its way here."""

    @property
    def progress(self) -> Any: ...
    @property
    def error(self) -> str | None: ...
    def wait(self, seconds: float | None = None) -> bool: ...
    def stop(self) -> None: ...


class Run(threading.Event):
    """Set when the work is to stop: by its button, by the next press, or because nobody looks at it any more."""

    def __init__(self) -> None:
        super().__init__()
        self._left = leaving()

    @property
    def pressed(self) -> bool:
        """Whether somebody asked it to stop; who only left wants no job of the server stopped."""
        return super().is_set()

    def is_set(self) -> bool:
        return self.pressed or self._left()


class Runs:
    """One kind of work; a browser tab has at most one of it under way."""

    def __init__(self) -> None:
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
            stop.set()  # the page was left, or the work ended by itself
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def follow(self, request: gr.Request, job: Followed, *, own: bool) -> Returning[tuple[dict[str, Any], Any], bool]:
        """Look at a job until it ends: the progress bar's value, and how far the job is (None: it has not said yet).

        The job goes on when the page is left. Stop ends it, and so does the tab's next run where the job is its
        ``own``. The ``result`` is whether the end was reached; else a later run took its place or nobody looks any
        more, and nothing more is to be shown. Raises MelboError where the job failed.
        """
        looks = self._look(request, job, own)
        return Returning(looks)

    def _look(self, request: gr.Request, job: Followed, own: bool) -> Generator[tuple[dict[str, Any], Any], None, bool]:
        with self.start(request) as stop:
            yield working("starting"), None
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
                    yield working("Stopping"), None
                step: Any = job.progress
                if step is not shown and not stopping:
                    shown = step
                    yield working(step.stage, step.done / max(1, step.total)), step
        if job.error:
            raise MelboError(job.error)
        return True

    def replaced(self, request: gr.Request, stop: Run) -> bool:
        """Whether a later run of this browser tab took the place of the one that ``stop`` belongs to."""
        return self._stops.get(request.session_hash or "") is not stop

    def busy(self, request: gr.Request) -> bool:
        """Whether this browser tab has work under way."""
        return (request.session_hash or "") in self._stops

    def stop(self, request: gr.Request) -> bool:
        """Tell the work of this browser tab to stop; False where there is none."""
        stop = self._stops.get(request.session_hash or "")
        if stop is None:
            return False
        stop.set()
        return True

    def bind(self, trigger: Callable[..., Any], fn: Callable[..., Any], inputs: Any, outputs: Any, bar: gr.HTML) -> Any:
        """Bind an event that does or follows this work, for several browser tabs at once; ``bar`` says how it ended."""
        shared = f"runs-{id(self)}"
        run = bind(
            trigger, fn, inputs, outputs, trigger_mode="multiple", concurrency_limit=AT_ONCE, concurrency_id=shared
        )
        bind(run.failure, lambda: resting("Not finished."), None, bar)
        return run

    def bind_stop(self, button: gr.Button, bar: gr.HTML) -> None:
        """Bind the Stop button. That something stops is said by who follows it: here it could come after the end."""
        bind(button.click, self._press_stop, None, bar)

    def _press_stop(self, request: gr.Request) -> Any:
        return gr.skip() if self.stop(request) else resting("Nothing is under way.")


def _stop(job: Followed, stop: threading.Event) -> None:
    """Stop a job, or say why this person cannot: then it is followed on."""
    try:
        job.stop()
    except InputError as refused:
        gr.Warning(html.escape(sentence(str(refused))), title="Cannot do that", duration=12)
        stop.clear()
