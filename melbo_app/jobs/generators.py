"""Work: a generator that yields its progress and returns its result, the form of everything that takes long."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeVar

from melbo_app.engine.stopping import ASKED_EVERY, Stop, raise_if

Progress = TypeVar("Progress")
Other = TypeVar("Other")
Result = TypeVar("Result")


def result_of(work: Generator[Any, None, Result], heard: Callable[[Any], None] = lambda progress: None) -> Result:
    """Do the work and return its result; ``heard`` is called with its progress."""
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            return end.value
        heard(progress)


def unless_stopped(call: Callable[[Stop], Result], stop: Stop) -> Result:
    """The result of ``call``, made in another thread. Raises Stopped once ``stop()`` is true, or KeyboardInterrupt.

    The call goes on for nobody until it asks the function that it is given, which is then true: it should end soon, or
    only wait for another machine. Its result is dropped.
    """
    future: Future[Result] = Future()
    left = threading.Event()

    def work() -> None:
        try:
            result = call(left.is_set)
        except BaseException as error:  # raised where the result is waited for
            if not left.is_set():  # with its traceback it would hold all that was made
                future.set_exception(error)
        else:
            if not left.is_set():
                future.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    try:
        while not wait([future], ASKED_EVERY).done:
            raise_if(stop)
        return future.result()
    finally:
        left.set()


def map_progress(
    work: Generator[Progress, None, Result], tell: Callable[[Progress], Other]
) -> Generator[Other, None, Result]:
    """The same work; ``tell`` translates its progress."""
    try:
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            yield tell(progress)
    finally:
        work.close()


def part_of(
    whole: Progress, work: Generator[Any, None, Result], size: int, before: int = 0
) -> Generator[Progress, None, Result]:
    """The same work as a part of a larger one, which stands at ``whole``: it takes ``size`` of the larger one's units,
    after ``before`` others."""
    start: Any = whole

    def tell(now: Any) -> Progress:
        done = before + round(size * min(1.0, now.done / max(1, now.total)))
        return replace(start, stage=f"{start.stage}: {now.stage}", done=start.done + done)

    return map_progress(work, tell)


def together(*works: Generator[Any, None, Result]) -> Generator[Any, None, list[Result]]:
    """Several works in one thread, one step of each in turn, so that their completions share forward passes
    (``Batching``): a pass with twice the rows takes hardly longer.

    Yields the progress of the work that has done least; returns the results in order. An error in one of them ends all.
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
