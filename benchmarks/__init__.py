"""Ratios against plain baselines, measured in one process, taking turns. Run by ``make bench``."""

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def result_of(work: Generator[Any, None, Result]) -> Result:
    """What the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
