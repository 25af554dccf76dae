"""What to try after an exploration that found nothing new."""

from collections.abc import Sequence
from typing import NamedTuple

from melbo_app.library.explorations import Exploration

FARTHER = 1.5
"""Factor between the R of an exploration and those of the next attempts."""
MOST_VECTORS = 32


class Attempt(NamedTuple):
    """Settings to try, and what they are called."""

    text: str
    relative_radius: float
    vectors: int
    source: int
    target: int


def attempts(found: Exploration, sources: Sequence[int], targets: Sequence[int]) -> list[Attempt]:
    """Another R, more vectors, and the nearest other source layer; nothing if there are new behaviours.

    Where half of the answers or more are readable, the larger R comes first, otherwise the smaller one.
    """
    if found.new:
        return []
    relative, count = found.radius.relative_radius, len(found.answers)
    here = (found.source, found.target)
    steps = [(FARTHER, "a larger R"), (1 / FARTHER, "a smaller R")]
    if found.readable < 0.5:
        steps.reverse()
    tried = [
        Attempt(f"{name}: {relative * factor:.2g} × the median norm", relative * factor, count, *here)
        for factor, name in steps
    ]
    if count < MOST_VECTORS:
        more = min(2 * count, MOST_VECTORS)
        tried.append(Attempt(f"more vectors: {more}", relative, more, *here))
    pairs = [(source, target) for source in sources for target in targets if target > source and source != here[0]]
    if pairs:
        source, target = min(pairs, key=lambda pair: (abs(pair[0] - here[0]), abs(pair[1] - here[1])))
        tried.append(Attempt(f"other layers: {source} → {target}", relative, count, source, target))
    return tried
