"""The output of commands: results on standard output, progress on standard error."""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from types import FrameType
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

from melbo_app.jobs.generators import result_of
from melbo_app.library.damage import Damage
from melbo_app.library.fetch_progress import FetchProgress

Result = TypeVar("Result")

NOT_KEPT = "Not kept"
LOG_SECONDS = 2.0
"""Time between two lines of progress in a log, which should not grow to thousands of lines."""


def show(result: Any, lines: Sequence[str], as_json: bool) -> None:
    """Print the result as one JSON object, or as lines for people; and, on standard error, why it was ``not_kept``."""
    if isinstance(result, Mapping) and (reason := result.get("not_kept")):
        message = reason if reason.startswith(NOT_KEPT) else f"{NOT_KEPT}: {reason}"
        print(message, file=sys.stderr)
    if as_json:
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        # null for numbers that JSON cannot hold, such as a diverged objective
        held = to_jsonable_python(result, inf_nan_mode="null")
        print(json.dumps(held, ensure_ascii=not is_utf8, allow_nan=False))
    elif lines:
        print("\n".join(lines))


def name_damaged(damaged: Sequence[Damage]) -> None:
    """Print on standard error what a list leaves out because it cannot be read."""
    for one in damaged:
        print(f"Left out: {one}.", file=sys.stderr)


class StopOnInterrupt:
    """Ctrl+C makes the work stop and keep its finished part; a second Ctrl+C ends the program."""

    def __init__(self) -> None:
        self.pressed = self._summary = False
        signal.signal(signal.SIGINT, self._press)

    def __call__(self) -> bool:
        # printed here, because the signal may arrive in the middle of another line
        if self.pressed and not self._summary:
            self._summary = True
            begin = "\n" if sys.stderr.isatty() else ""
            print(f"{begin}Stopping; the finished part is kept.", file=sys.stderr, flush=True)
        return self.pressed

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


def run(work: Generator[Any, None, Result], log: "Sparingly | None" = None) -> Result:
    """Do the work and print its progress on standard error; if that is not a terminal, by ``log``."""
    report = _TerminalReport() if sys.stderr.isatty() else log or _LogReport()

    def heard(progress: Any) -> None:
        if isinstance(progress, FetchProgress):
            return report.say(progress.line)
        left = getattr(progress, "seconds_left", None) if progress.done < progress.total else None
        line = f"{progress.stage} ({100 * progress.done // max(1, progress.total)} %)"
        report.say(line + (f", about {left:.0f} s left" if left is not None else ""))

    try:
        return result_of(work, heard)
    finally:
        report.end()


class Sparingly:
    """Prints lines on standard error: the first of each stage, then one every ``LOG_SECONDS``."""

    def __init__(self) -> None:
        self._next, self._stage = -math.inf, ""

    def say(self, line: str) -> None:
        """Print the line, unless a similar one was just printed."""
        stage = line.partition(":")[0].partition(" (")[0]
        if stage != self._stage or time.monotonic() >= self._next:
            print(line, file=sys.stderr, flush=True)
            self._stage, self._next = stage, time.monotonic() + LOG_SECONDS

    def end(self) -> None:
        """Nothing to do: no line is held back."""


class _TerminalReport:
    """A single line that is overwritten."""

    def __init__(self) -> None:
        self._shown = 0

    def say(self, line: str) -> None:
        try:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            width = 0
        # a terminal wraps a full line, and a carriage return then no longer leads to its beginning; some terminals
        # report no width
        line = line[: (width or 80) - 1]
        print(f"\r{line:<{self._shown}}", end="", file=sys.stderr, flush=True)
        self._shown = len(line)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr, flush=True)


class _LogReport:
    """A line now and then, always including the first and the last."""

    def __init__(self) -> None:
        self._next = -math.inf
        self._waiting: str | None = None

    def say(self, line: str) -> None:
        self._waiting = line
        if time.monotonic() >= self._next:
            self.end()

    def end(self) -> None:
        if self._waiting is not None:
            print(self._waiting, file=sys.stderr, flush=True)
            self._waiting, self._next = None, time.monotonic() + LOG_SECONDS
