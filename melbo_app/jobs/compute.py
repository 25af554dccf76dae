"""Who may compute now: one device, one computation at a time, short work ahead of long work."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

Progress = TypeVar("Progress")
Result = TypeVar("Result")


class ComputeLock:
    """Held for one step of work at a time. Between two steps of long work (training), waiting short work goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = False
        self._short_waiting = 0

    @contextmanager
    def hold(self, *, short: bool = True) -> Iterator[None]:
        """Wait until nobody computes, and keep others out until left."""
        with self._changed:
            self._short_waiting += short
            try:
                self._changed.wait_for(lambda: not self._held and (short or not self._short_waiting))
                self._held = True
            finally:
                self._short_waiting -= short
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
        steps = self.steps(work)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
