"""What commands print: results on standard output, progress on standard error."""

import json
import signal
import sys
from collections.abc import Generator, Sequence
from types import FrameType
from typing import Any, TypeVar

from pydantic import BaseModel

Result = TypeVar("Result")


def show(result: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    """Print the result as one JSON object, or as lines for people."""
    print(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(lines))


def plain(record: BaseModel) -> dict[str, Any]:
    """A record as JSON can hold it."""
    return record.model_dump(mode="json")


class StopOnInterrupt:
    """Ctrl+C asks the work to stop and keep what is finished; a second one ends the program."""

    def __init__(self) -> None:
        self.pressed = False
        signal.signal(signal.SIGINT, self._press)

    def __call__(self) -> bool:
        return self.pressed

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        print("\nStopping; what is finished is kept.", file=sys.stderr)


def run(work: Generator[Any, None, Result]) -> Result:
    """Do the work, its progress on one line of standard error."""
    shown = 0
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            if shown:
                print(file=sys.stderr)
            return end.value
        left = getattr(progress, "seconds_left", None)
        line = f"{progress.stage} ({100 * progress.done // max(1, progress.total)} %)"
        line += f", about {left:.0f} s left" if left is not None else ""
        print(f"\r{line:<{shown}}", end="", file=sys.stderr, flush=True)
        shown = len(line)
