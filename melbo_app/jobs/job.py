"""A job: long work in a thread of the server, which goes on whoever looks at it."""

import logging
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from melbo_app.errors import MelboError, Stopped

State = Literal["running", "stopping", "done", "stopped", "failed"]
Progress = TypeVar("Progress")
Result = TypeVar("Result")


class Job(Generic[Progress, Result]):
    """Runs a generator of progress to its end in a thread. All attributes may be read from any thread.

    Attributes:
        title: what is being done, for people.
        progress: the newest progress, None before the first.
        result: what the generator returned; None where it was stopped before there was anything to keep.
        error: the sentence to show, when the state is "failed".
    """

    def __init__(self, title: str, work: Callable[[Callable[[], bool]], Generator[Progress, None, Result]]) -> None:
        """Start. ``work`` takes the question "shall I stop?" and returns the generator."""
        self.title = title
        self.started = datetime.now(UTC)
        self.ended: datetime | None = None
        self.progress: Progress | None = None
        self.result: Result | None = None
        self.error: str | None = None
        self._failed = False
        self._stop = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work(self._stop.is_set),), name=title, daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """Where the job stands."""
        if not self._end.is_set():
            return "stopping" if self._stop.is_set() else "running"
        if self._failed:
            return "failed"
        return "stopped" if self._stop.is_set() else "done"

    @property
    def is_active(self) -> bool:
        """Whether it still runs."""
        return not self._end.is_set()

    def stop(self) -> None:
        """Ask the job to stop; it keeps what is finished."""
        if self.is_active:
            self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most ``seconds``; whether it was reached."""
        return self._end.wait(seconds)

    def _run(self, work: Generator[Progress, Any, Result]) -> None:
        try:
            while True:
                try:
                    self.progress = next(work)
                except StopIteration as end:
                    self.result = end.value
                    return
        except Stopped:
            pass  # the state says it
        except MelboError as error:
            self._failed, self.error = True, str(error)
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed", self.title)
            self._failed, self.error = True, f"{self.title} failed: {str(error) or type(error).__name__}"
        finally:
            self.ended = datetime.now(UTC)
            self._end.set()
