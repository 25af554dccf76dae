"""The compute lock: one computation at a time, short work before long work."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from melbo_app.engine.stopping import GivingWay, Stop
from melbo_app.jobs.generators import result_of

Progress = TypeVar("Progress")
Result = TypeVar("Result")


class ComputeLock:
    """Held for one step of work at a time. Between two steps of long work (training), waiting short work goes first, in
    order of arrival; after a step, it queues again behind the others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: tuple[int, bool] | None = None  # the thread, and whether its work is short
        self._short_waiting: list[object] = []

    @contextmanager
    def hold(self, *, short: bool = True) -> Iterator[None]:
        """Wait until nobody computes, and keep others out inside the context."""
        with self._changed:
            self._take(short)
        try:
            yield
        finally:
            with self._changed:
                self._release()

    def giving_way(self, stop: Stop) -> GivingWay:
        """``stop`` for work that calls it in the middle of a step; waiting short work goes first there, too."""
        return GivingWay(stop, self._give_way)

    def _give_way(self) -> None:
        with self._changed:
            # between two steps of the work, somebody else may hold the lock
            if self._holder is None or self._holder[0] != threading.get_ident() or not self._short_waiting:
                return
            short = self._holder[1]
            self._release()
            self._take(short)

    def _take(self, short: bool) -> None:
        waiting, me = self._short_waiting, object()
        if short:
            waiting.append(me)
        try:
            self._changed.wait_for(lambda: self._holder is None and (waiting[0] is me if short else not waiting))
            self._holder = (threading.get_ident(), short)
        finally:
            if short:
                waiting.remove(me)

    def _release(self) -> None:
        self._holder = None
        self._changed.notify_all()

    def steps(
        self, work: Generator[Progress, None, Result], *, short: bool = True
    ) -> Generator[Progress, None, Result]:
        """The same work, holding the lock during its steps and not between them."""
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
        """The result of short work, done in the same way."""
        return result_of(self.steps(work))
