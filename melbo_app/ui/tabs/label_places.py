"""The vector that each page shows in the room Label, or is about to show: its answer may still be on its way."""

import threading
from collections import OrderedDict

from gradio.context import LocalContext

from melbo_app.ui.sessions import CAPACITY

Place = tuple[str, int]
"""A bank and a vector."""


class LabelPlaces:
    """The last place of each page; those of the pages that moved longest ago are forgotten."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, Place] = OrderedDict()
        self._one = threading.Lock()

    def note(self, bank: str, vector: int) -> None:
        """The present page shows this vector from now on."""
        with self._one:
            self._last[_page()] = bank, vector
            self._last.move_to_end(_page())
            if len(self._last) > CAPACITY:
                self._last.popitem(last=False)

    def last(self) -> Place | None:
        """Where the present page is; None before the first."""
        return self._last.get(_page())


def _page() -> str:
    return getattr(LocalContext.request.get(None), "session_hash", None) or ""
