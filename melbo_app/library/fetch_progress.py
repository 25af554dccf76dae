"""Progress of a model's download."""

import time
from dataclasses import dataclass

from melbo_app.engine.stopping import Stop
from melbo_app.errors import Stopped
from melbo_app.sizes import size_text


@dataclass(frozen=True)
class FetchProgress:
    """``done`` and ``total`` are bytes; ``seconds_left`` is None until it can be estimated."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None

    @property
    def line(self) -> str:
        """The progress in one line."""
        if self.done >= self.total:
            return self.stage
        share = f"{self.stage} ({100 * self.done // max(1, self.total)} %)"
        return share if self.seconds_left is None else f"{share}, about {self.seconds_left:.0f} s left"


class Meter:
    """Turns arriving bytes into progress; the speed counts only this attempt."""

    def __init__(self, name: str, total: int, before: int) -> None:
        self._name, self._total, self._before = name, total, before
        self._began = time.monotonic()

    def at(self, done: int) -> FetchProgress:
        """The progress after ``done`` bytes."""
        done = min(done, self._total)
        arrived, spent = done - self._before, time.monotonic() - self._began
        # the first bytes are headers and arrive while the connection is still being set up
        left = (self._total - done) * spent / arrived if arrived > self._total / 200 and spent > 1 else None
        stage = f"Downloading {self._name}: {size_text(done)} of {size_text(self._total)}"
        return FetchProgress(stage, done, self._total, left)


def check(stop: Stop, name: str) -> None:
    """Raise Stopped if somebody pressed Stop."""
    if stop():
        raise Stopped(f"Stopped: the downloaded part of {name} is kept, and the next attempt continues from it.")
