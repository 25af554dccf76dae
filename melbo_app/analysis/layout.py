"""A map's layout, in which more texts can be placed while those that it has stay where they are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.projection import LEAST_FOR_UMAP, Projection, beside, width_of

NEIGHBOURS = 5


@dataclass(frozen=True)
class Layout:
    """Texts with their embeddings ``rows`` [N, D] and their places."""

    texts: Sequence[str]
    rows: np.ndarray
    projection: Projection

    def suits(self, texts: Sequence[str]) -> bool:
        """Whether at least half of the distinct ``texts`` have a place here, and UMAP found it."""
        wanted = set(texts)
        return self.projection.method == "UMAP" and 2 * len(wanted & set(self.texts)) >= len(wanted) >= LEAST_FOR_UMAP

    def extended(self, texts: Sequence[str], rows: np.ndarray) -> Projection:
        """The places of ``texts`` with these embeddings: the old ones keep theirs.

        A new text stands among its nearest neighbours, at their mean weighted by likeness: where UMAP, too, begins when
        it is given more points. Its further copies lie around the first.
        """
        width = width_of(self.projection.xy)
        places: dict[str, list[np.ndarray]] = {}
        for text, place in zip(self.texts, self.projection.xy.astype(np.float64), strict=True):
            places.setdefault(text, []).append(place)
        seen: Counter[str] = Counter()
        xy, new = [], 0
        for text, row in zip(texts, rows, strict=True):
            if text not in places:
                places[text] = [self._among_neighbours(row)]
                new += 1
            copy, known = seen[text], places[text]
            xy.append(known[copy] if copy < len(known) else known[0] + beside(copy, width))
            seen[text] += 1
        added = f"{new} new text{'s' * (new != 1)} among {'their' if new != 1 else 'its'} nearest neighbours"
        note = (
            f"{len(texts)} points, by UMAP on cosine distances: old texts keep their places"
            f"{f', {added}' if new else ''}; only nearness is meaningful, not the axes"
        )
        return Projection(np.array(xy, dtype=np.float32), "UMAP", note)

    def _among_neighbours(self, row: np.ndarray) -> np.ndarray:
        distance = 1 - self.rows.astype(np.float64) @ np.asarray(row, dtype=np.float64)
        nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
        further = distance[nearest] - distance[nearest[0]]
        weight = np.exp(-further / (further.mean() or 1.0))
        return weight @ self.projection.xy[nearest].astype(np.float64) / weight.sum()
