"""Work: a generator that tells its progress and returns what came of it, as everything long is done here."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Any, TypeVar

from melbo_app.errors import Stopped

Progress = TypeVar("Progress")
Other = TypeVar("Other")
Result = TypeVar("Result")

ASKED_EVERY = 0.2
"""Seconds between two looks whether somebody said stop."""


def result_of(work: Generator[Any, None, Result], heard: Callable[[Any], None] = lambda progress: None) -> Result:
    """What the work returns; ``heard`` is called with its progress."""
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            return end.value
        heard(progress)


def unless_stopped(call: Callable[[], Result], stop: Callable[[], bool]) -> Result:
    """What ``call`` returns, waited for until somebody says stop: then it is left to end by itself, so it must be one
    that only waits for another machine. Raises Stopped."""
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it belongs to who waits for it
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    while not wait([future], ASKED_EVERY).done:
        if stop():
            raise Stopped
    return future.result()


def map_progress(
    work: Generator[Progress, None, Result], tell: Callable[[Progress], Other]
) -> Generator[Other, None, Result]:
    """The same work, whose progress is what ``tell`` makes of it."""
    try:
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            yield tell(progress)
    finally:
        work.close()


def together(*works: Generator[Any, None, Result]) -> Generator[Any, None, list[Result]]:
    """Several works in one thread, a step of each in its turn: completions of the one then share the forward passes of
    the other (``Batching``), and a pass with twice the rows takes hardly longer.

    Yields the progress of the one that is least far; returns the results in order. An error in one of them ends all.
    """
    news: dict[int, Any] = {}
    results: dict[int, Result] = {}
    with ExitStack() as closing:
        for work in works:
            closing.callback(work.close)
        while len(results) < len(works):
            for number, work in enumerate(works):
                if number in results:
                    continue
                try:
                    news[number] = next(work)
                except StopIteration as end:
                    results[number] = end.value
                    news.pop(number, None)
            if news:
                yield min(news.values(), key=lambda now: now.done / max(1, now.total))
    return [results[number] for number in range(len(works))]
