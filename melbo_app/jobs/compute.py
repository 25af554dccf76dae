"""Who may compute now: one device, one computation at a time, short work ahead of long work."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from melbo_app.jobs.work import result_of

Progress = TypeVar("Progress")
Result = TypeVar("Result")


class ComputeLock:
    """Held for one step of work at a time. Between two steps of long work (training), waiting short work goes first,
    in the order in which it came: who has had a step and wants another one waits behind the others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = False
        self._short_waiting: list[object] = []

    @contextmanager
    def hold(self, *, short: bool = True) -> Iterator[None]:
        """Wait until nobody computes, and keep others out until left."""
        waiting, me = self._short_waiting, object()
        with self._changed:
            if short:
                waiting.append(me)
            try:
                self._changed.wait_for(lambda: not self._held and (waiting[0] is me if short else not waiting))
                self._held = True
            finally:
                if short:
                    waiting.remove(me)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def steps(
        self, work: Generator[Progress, None, Result], *, short: bool = True
    ) -> Generator[Progress, None, Result]:
        """The same work, holding the lock while it computes and not between its steps."""
        try:
            while True:
                with self.hold(short=short):
                    try:
                        progress = next(work)
                    except StopIteration as end:
                        return end.value
                yield progress
        finally:
            work.close()

    def result(self, work: Generator[Progress, None, Result]) -> Result:
        """What short work returns, done step by step in the same way."""
        return result_of(self.steps(work))
