"""How much one visitor may have under way, and keep in a day."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from melbo_app.errors import BusyError

COMPUTING = 3
"""Requests of one visitor that compute texts or measure at a time: the page computes for eight, so two are left of it
even where two visitors do what they can."""
LOOKING = 12
"""The same of requests that take one pass, such as the tokens of a prompt: a page asks for three or four by itself
while somebody writes, and people have several open."""
JOBS = 2
"""Jobs of one visitor: one that runs and one that waits behind it."""
BANKS = 20
"""Banks of one visitor in a day: a training takes a minute or two, so this is an afternoon of them."""
BANK_BYTES = 16 * 2**20
"""Of a file that becomes a bank: 64 vectors of a model of 70 billion parameters take 2 MB in float32."""
DAY = 24 * 3600.0


class Quotas:
    """Counts in memory; a restart begins anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock, self._putting = clock, threading.Lock(), threading.Lock()
        self._computing: Counter[str] = Counter()
        self._looking: Counter[str] = Counter()
        self._banks: dict[str, deque[float]] = {}

    @contextmanager
    def computing(self, who: str) -> Iterator[None]:
        """As long as this is entered, a request of ``who`` is computed. Raises BusyError where there are too many."""
        message = (
            f"At most {COMPUTING} requests of one visitor are computed at a time. Wait for one of yours, or stop it."
        )
        with self._one_of(self._computing, who, COMPUTING, message):
            yield

    @contextmanager
    def looking(self, who: str) -> Iterator[None]:
        """The same for what takes one pass."""
        message = f"At most {LOOKING} small requests of one visitor are answered at a time. Ask again in a moment."
        with self._one_of(self._looking, who, LOOKING, message):
            yield

    @contextmanager
    def job(self, who: str, active: Callable[[str], int]) -> Iterator[None]:
        """Inside, a job of ``who`` is put into the queue; ``active`` says how many wait or run. Raises BusyError."""
        with self._putting:  # one after the other: a job that is in the queue and still being put there counts once
            if active(who) >= JOBS:
                message = f"At most {JOBS} jobs of one visitor wait or run at a time."
                raise BusyError(f"{message} Wait for one of yours, or stop it.")
            yield

    @contextmanager
    def bank(self, who: str) -> Iterator[None]:
        """Inside, a bank of ``who`` is made or asked for; it counts unless that fails. Raises BusyError."""
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
                message = f"At most {BANKS} banks of one visitor are kept in a day."
                raise BusyError(f"{message} Use those that are there; there is room for the next one in {hours} h.")
            made.append(now)
        return now

    @contextmanager
    def _one_of(self, counted: Counter[str], who: str, most: int, message: str) -> Iterator[None]:
        with self._lock:
            if counted[who] >= most:
                raise BusyError(message)
            counted[who] += 1
        try:
            yield
        finally:
            with self._lock:
                counted[who] -= 1
                if not counted[who]:
                    del counted[who]
