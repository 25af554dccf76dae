"""Quotas of one visitor on running work, and on banks per day."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from melbo_app.errors import BusyError

COMPUTING = 3
"""Concurrent requests that compute texts or measurements: the page runs eight, so two visitors leave two free."""
LOOKING = 12
"""Concurrent requests that take one pass, such as the tokens of a prompt: a page sends three or four while somebody
types, and people open several pages."""
JOBS = 2
"""Jobs: one that runs and one that waits."""
BANKS = 20
"""Banks per day: a training takes a minute or two, so this fills an afternoon."""
BANK_BYTES = 16 * 2**20
"""Bytes of an imported file: 64 vectors of a model with 70 billion parameters take 2 MB in float32."""
DAY = 24 * 3600.0


class Quotas:
    """Counts in memory only: a restart resets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock, self._putting = clock, threading.Lock(), threading.Lock()
        self._computing: Counter[str] = Counter()
        self._looking: Counter[str] = Counter()
        self._banks: dict[str, deque[float]] = {}

    def computing(self, who: str) -> AbstractContextManager[None]:
        """A request of ``who`` runs inside. Entering it raises BusyError if there are too many."""
        sentence = f"Each visitor can run {COMPUTING} requests at a time. Wait for one of yours, or stop it."
        return self._one_of(self._computing, who, COMPUTING, sentence)

    def looking(self, who: str) -> AbstractContextManager[None]:
        """Like ``computing``, for requests that take one pass."""
        sentence = f"Each visitor can run {LOOKING} small requests at a time. Try again in a moment."
        return self._one_of(self._looking, who, LOOKING, sentence)

    @contextmanager
    def job(self, who: str, active: Callable[[str], int]) -> Iterator[None]:
        """A job of ``who`` is queued inside; ``active`` counts those that wait or run. Raises BusyError."""
        with self._putting:  # one at a time, so that a job that is being queued is not counted twice
            if active(who) >= JOBS:
                raise BusyError(f"Each visitor can have {JOBS} jobs at a time. Wait for one of yours, or stop it.")
            yield

    @contextmanager
    def bank(self, who: str) -> Iterator[None]:
        """A bank of ``who`` is made or requested inside; it counts unless that fails. Raises BusyError."""
        made = self._take(who)
        try:
            yield
        except BaseException:
            with self._lock:
                if made in self._banks.get(who, ()):
                    self._banks[who].remove(made)
            raise

    def _take(self, who: str) -> float:
        now = self._clock()
        with self._lock:
            self._banks = {one: made for one, made in self._banks.items() if made and made[-1] > now - DAY}
            made = self._banks.setdefault(who, deque())
            while made and made[0] <= now - DAY:
                made.popleft()
            if len(made) >= BANKS:
                hours = max(1, round((made[0] + DAY - now) / 3600))
                raise BusyError(f"Each visitor can make {BANKS} banks per day. You can make the next one in {hours} h.")
            made.append(now)
        return now

    @contextmanager
    def _one_of(self, counted: Counter[str], who: str, most: int, sentence: str) -> Iterator[None]:
        with self._lock:
            if counted[who] >= most:
                raise BusyError(sentence)
            counted[who] += 1
        try:
            yield
        finally:
            with self._lock:
                counted[who] -= 1
                if not counted[who]:
                    del counted[who]
