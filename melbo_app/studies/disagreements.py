"""Vectors about which annotators disagree, for somebody to settle."""

from collections.abc import Iterable, Sequence
from itertools import combinations, groupby

from melbo_app.analysis.alpha import masi
from melbo_app.library.frozen import Frozen
from melbo_app.library.label import LabelVersion, said

APART = 2
"""Ratings that differ by less are no disagreement."""
NAMELESS = "without a name"
"""The annotator who gave none."""


class Disagreement(Frozen):
    """What annotators say differently of one vector. ``ratings``: the lowest and the highest where they lie apart;
    ``tags``: those that some gave and others did not; ``distance``: the largest between two sets of tags (MASI)."""

    vector: int
    ratings: tuple[int, int] | None
    tags: tuple[str, ...]
    distance: float

    @property
    def sentence(self) -> str:
        """The same for people."""
        parts = [f"ratings {self.ratings[0]} and {self.ratings[1]}"] if self.ratings else []
        parts += [f"not all gave the tags {', '.join(self.tags)}"] if self.tags else []
        return "; ".join(parts)


def disagreements(labels: Iterable[LabelVersion]) -> list[Disagreement]:
    """The vectors of one bank that are not settled and about which ratings or tags disagree, the widest apart first.
    Names are free text: that they differ counts for nothing."""
    found = []
    for vector, some in groupby(sorted(labels, key=_vector), _vector):
        given = [one for one in some if any(said(one))]
        if not any(one.settled for one in given) and (one := _between(vector, given)) is not None:
            found.append(one)
    return sorted(found, key=lambda one: (-max(_gap(one), one.distance), one.vector))


def _between(vector: int, labels: Sequence[LabelVersion]) -> Disagreement | None:
    ratings = sorted(one.rating for one in labels if one.rating is not None)
    apart = (ratings[0], ratings[-1]) if ratings and ratings[-1] - ratings[0] >= APART else None
    sets = [frozenset(one.tags) for one in labels]
    tags = frozenset[str]().union(*sets) - (frozenset.intersection(*sets) if sets else frozenset())
    if apart is None and not tags:
        return None
    distances = masi(sets)
    widest = max((float(distances[pair]) for pair in combinations(range(len(sets)), 2)), default=0.0)
    return Disagreement(vector=vector, ratings=apart, tags=tuple(sorted(tags)), distance=widest)


def _gap(one: Disagreement) -> float:
    return (one.ratings[1] - one.ratings[0]) / 4 if one.ratings else 0.0


def _vector(label: LabelVersion) -> int:
    return label.vector
