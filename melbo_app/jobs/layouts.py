"""The layouts of the last maps, in which the next map places its texts."""

from collections import deque
from collections.abc import Sequence

from melbo_app.analysis.layout import Layout

KEPT = 4
"""Of 5,000 texts, each takes 8 MB."""


class Layouts:
    """Layouts in memory, the newest first. Thread-safe, as a deque is."""

    def __init__(self) -> None:
        self._kept: deque[Layout] = deque(maxlen=KEPT)

    def add(self, layout: Layout) -> None:
        self._kept.appendleft(layout)

    def find(self, texts: Sequence[str]) -> Layout | None:
        """The newest layout in which most of these texts have a place, or None."""
        return next((one for one in list(self._kept) if one.suits(texts)), None)
