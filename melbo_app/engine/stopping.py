"""How work is interrupted: what it asks on its way, and where."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from melbo_app.errors import Stopped

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

Stop = Callable[[], bool]


@dataclass(frozen=True)
class GivingWay:
    """``stop`` of work that lets others compute each time it asks. Only for places where nothing is hooked to the
    model, and nothing is set that others would compute with: everywhere else ``plain`` takes the question alone."""

    stop: Stop
    give_way: Callable[[], None]

    def __call__(self) -> bool:
        self.give_way()
        return self.stop()


def plain(stop: Stop | None) -> Stop | None:
    """The question alone."""
    return stop.stop if isinstance(stop, GivingWay) else stop


def deaf(stop: Stop) -> Stop:
    """``stop`` of work that must not be stopped yet; it gives way all the same."""
    return replace(stop, stop=never) if isinstance(stop, GivingWay) else never


def never() -> bool:
    """The question of work that nobody stops."""
    return False


def raise_if(stop: Stop | None) -> None:
    """Raises Stopped where ``stop()`` is true."""
    if stop is not None and stop():
        raise Stopped


@contextmanager
def asking(lm: "LanguageModel", stop: Stop | None) -> Iterator[None]:
    """While this is open, ``stop`` is asked before every block of the model; raises Stopped where it is true."""
    question = plain(stop)

    def ask(_module: Any, _args: tuple) -> None:
        raise_if(question)

    with ExitStack() as hooks:
        for block in lm.blocks if question is not None else ():
            hooks.callback(block.register_forward_pre_hook(ask).remove)
        yield
