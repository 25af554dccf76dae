"""Interrupting work: the ``stop`` that it calls, and where."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from melbo_app.errors import Stopped

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

Stop = Callable[[], bool]
ASKED_EVERY = 0.2
"""Seconds between two checks for a stop, where work can only wait."""


@dataclass(frozen=True)
class GivingWay:
    """A ``stop`` that also lets others compute each time it is called. Only for places without hooks on the model and
    without global settings that others would compute with: everywhere else, use ``plain``."""

    stop: Stop
    give_way: Callable[[], None]

    def __call__(self) -> bool:
        self.give_way()
        return self.stop()


def plain(stop: Stop | None) -> Stop | None:
    """``stop`` without giving way."""
    return stop.stop if isinstance(stop, GivingWay) else stop


def deaf(stop: Stop) -> Stop:
    """A ``stop`` for work that must not be stopped yet: it only gives way."""
    return replace(stop, stop=never) if isinstance(stop, GivingWay) else never


def never() -> bool:
    """The question of work that nobody stops."""
    return False


def raise_if(stop: Stop | None) -> None:
    """Raises Stopped if ``stop()`` is true."""
    if stop is not None and stop():
        raise Stopped


@contextmanager
def held(lock: threading.Lock, stop: Stop) -> Iterator[None]:
    """Wait for the lock, and hold it in the context. Raises Stopped."""
    while not lock.acquire(timeout=ASKED_EVERY):
        raise_if(stop)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def asking(lm: "LanguageModel", stop: Stop | None) -> Iterator[None]:
    """In this context, ``stop`` is called before every block of the model, which raises Stopped if it is true."""
    stop = plain(stop)

    def ask(_module: Any, _args: tuple) -> None:
        raise_if(stop)

    with ExitStack() as hooks:
        for block in lm.blocks if stop is not None else ():
            hooks.callback(block.register_forward_pre_hook(ask).remove)
        yield
