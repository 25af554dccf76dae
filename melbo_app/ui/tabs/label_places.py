"""The vector that each page shows in the room Label, or is about to show: its answer may still be on its way."""

import functools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from typing import Any

from gradio.blocks import Block
from gradio.context import LocalContext

from melbo_app.jobs.recent import Recent
from melbo_app.ui.guard import Changes
from melbo_app.ui.sessions import CAPACITY

Place = tuple[str, int]
"""A bank and a vector."""


class LabelPlaces:
    """The last place of each page, and its moves in order; pages that did nothing here for longest are forgotten."""

    def __init__(self) -> None:
        self._last: Recent[Place] = Recent(CAPACITY)
        self._turns: Recent[int] = Recent(CAPACITY)  # the number of each page's newest move
        self._number, self._turn = count(), ContextVar[int | None]("turn", default=None)
        self._one = threading.RLock()

    def note(self, bank: str, vector: int) -> None:
        """The present page shows this vector from now on, unless it has begun another move meanwhile."""
        with self._one:
            if not self._overtaken():
                self._last.put(_page(), (bank, vector))

    def last(self) -> Place | None:
        """Where the present page is; None before the first."""
        return self._last.get(_page())

    def in_turn(self, move: Callable[..., Changes], always: Block) -> Callable[..., Changes]:
        """The same ``move``; but if the page begins another one before it is done, its answer is dropped except for the
        component ``always``, because it could arrive last."""

        @functools.wraps(move)
        def moved(*args: Any) -> Changes:
            with self._one:
                number = next(self._number)
                turn = self._turn.set(number)
                self._turns.put(_page(), number)
            try:
                changes = move(*args)
                return {part: changes[part] for part in changes if part is always or not self._overtaken()}
            finally:
                self._turn.reset(turn)

        return moved

    def _overtaken(self) -> bool:
        """Whether the page has begun another move since the one in which this is called."""
        turn = self._turn.get()
        return turn is not None and self._turns.get(_page()) not in (None, turn)


def _page() -> str:
    return getattr(LocalContext.request.get(None), "session_hash", None) or ""
