"""A job: long work in a thread of the server, whether or not anybody watches it."""

import contextlib
import logging
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from melbo_app.errors import MelboError, Stopped
from melbo_app.jobs.study import Made, Study
from melbo_app.library.job_records import JobProgress, JobRecord, JobState, LogLine

Progress = TypeVar("Progress")
Result = TypeVar("Result")


class Job(Generic[Progress, Result]):
    """Runs a generator of progress to its end in a thread. All attributes may be read from any thread.

    Attributes:
        id: its number in the database.
        study: the request.
        title: the title to show.
        progress: the newest progress, None before the first.
        result: the generator's result; None if it was stopped before there was anything to keep.
        error: the message to show if the state is "failed".
    """

    def __init__(
        self,
        record: JobRecord,
        study: Study[Result],
        work: "Callable[[Job[Progress, Result]], Generator[Progress, None, Result]]",
        changed: "Callable[[Job[Progress, Result]], None]" = lambda job: None,
    ) -> None:
        """A job that waits for ``start``.

        Args:
            study: the request.
            work: makes the generator, in the job's thread; it calls ``job.is_stopping`` to see whether to stop.
            changed: called after every change, in the thread that made it, and never by two at once, so that it can
                save the job without overwriting a newer state.
        """
        self.id, self.kind, self.title, self.started = record.id, record.kind, record.title, record.started
        self.study = study
        self.ended: datetime | None = None
        self.progress: Progress | None = None
        self.result: Result | None = None
        self.error: str | None = None
        self._record, self._log = record, list(record.log)
        self._work, self._changed = work, changed
        self._state: JobState = "waiting"
        self._one, self._telling = threading.Lock(), threading.Lock()
        self._stop, self._pause, self._end = threading.Event(), threading.Event(), threading.Event()

    @property
    def state(self) -> JobState:
        """The state of the job."""
        return "stopping" if self._state in ("running", "interrupted") and self._stop.is_set() else self._state

    @property
    def is_active(self) -> bool:
        """Whether it runs or waits."""
        return self._state in ("waiting", "running")

    @property
    def is_stopping(self) -> Callable[[], bool]:
        """A function that says whether somebody asked it to stop."""
        return self._stop.is_set

    def start(self) -> None:
        """Begin, unless it was stopped while waiting."""
        with self._one:
            if self._state != "waiting":
                return
            self._state, self.started = "running", datetime.now(UTC)
        self.say("Started.")
        self._tell()
        try:
            threading.Thread(target=self._run, name=self.title, daemon=True).start()
        except RuntimeError as error:  # out of threads
            self._fail(error)
            self._finish("failed")

    def stop(self) -> None:
        """Ask the job to stop and keep its finished part. A waiting job ends at once."""
        with self._one:
            waiting, begun = self._state == "waiting", self._state == "running" and not self._stop.is_set()
            if waiting:
                self._state = "stopped"
            elif begun:
                self._stop.set()
        if waiting:
            self.say("Removed from the queue.")
            self._finish("stopped")
        elif begun:
            self._tell()

    def pause(self) -> None:
        """End soon, keeping only the checkpoint: the server ends, and the next one will resume the job."""
        self._pause.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most ``seconds``; returns whether it was reached."""
        return self._end.wait(seconds)

    def say(self, text: str) -> None:
        """Add a line to the job's log."""
        self._log.append(LogLine(at=datetime.now(UTC), text=text))

    def record(self) -> JobRecord:
        """The job as it is now."""
        bank, comparison = Made() if self.result is None else self.study.made(self.result)
        if comparison is not None and comparison < 0:  # it is only in memory, and will get another number
            comparison = None
        changes = {
            "state": self.state,
            "progress": self._latest_progress() or self._record.progress,
            "log": tuple(self._log),
            "started": self.started,
            "ended": self.ended,
            "bank": bank,
            "comparison": comparison,
            "error": self.error,
        }
        return self._record.model_copy(update=changes)

    def _latest_progress(self) -> JobProgress | None:
        progress: Any = self.progress
        if progress is None:
            return None
        left = getattr(progress, "seconds_left", None)
        if left is None and self.started is not None and 0 < progress.done < progress.total:
            spent = max(0.0, (datetime.now(UTC) - self.started).total_seconds())  # the clock may have been set back
            left = spent / progress.done * (progress.total - progress.done)
        return JobProgress(stage=progress.stage, done=progress.done, total=progress.total, seconds_left=left)

    def _run(self) -> None:
        state: JobState = "failed"
        try:
            with contextlib.closing(self._work(self)) as work:
                state = self._to_its_end(work)
        except Stopped:
            state = "stopped"
        except MelboError as error:
            self.error = str(error)
        except BaseException as error:  # no error may end other jobs
            self._fail(error)
        self._finish(state)

    def _tell(self) -> None:
        with self._telling:
            self._changed(self)

    def _to_its_end(self, work: Generator[Progress, None, Result]) -> JobState:
        while not self._pause.is_set():
            try:
                self.progress = next(work)
            except StopIteration as end:
                self.result = end.value
                return "stopped" if self._stop.is_set() else "done"
            note = getattr(self.progress, "note", "")
            if note and note != self._log[-1].text:
                self.say(note)
            self._tell()
        return "interrupted"

    def _fail(self, error: BaseException) -> None:
        from melbo_app.engine.memory import out_of_memory  # late: torch takes seconds to import

        logging.getLogger(__name__).error("%s failed", self.title, exc_info=error)
        reason = out_of_memory(error) or str(error) or type(error).__name__
        self.error = f"{self.title} failed: {reason}"

    def _finish(self, state: JobState) -> None:
        self.ended = None if state == "interrupted" else datetime.now(UTC)
        if state == "failed":
            self.say(self.error or "Failed.")
        elif self.started is not None and self.ended is not None:
            self.say(f"{state.capitalize()} after {max(0.0, (self.ended - self.started).total_seconds()):.0f} s.")
        elif state == "interrupted" and not self._stop.is_set():
            self.say("The server ended; the next one will resume this job.")
        self._state = state
        self._tell()
        self._end.set()
