"""A map: completions embedded, laid out on a plane, with what each point is."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from melbo_app.analysis.embedding import Embedder
from melbo_app.analysis.projection import MapPoint, project
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import Stopped, StorageError
from melbo_app.jobs.compute import ComputeLock
from melbo_app.library.completion import Comparison
from melbo_app.library.embeddings import Embeddings
from melbo_app.limits import MOST_MAPPED, check_count

EMBEDDED_AT_ONCE = 64
"""Texts that are embedded in one go: less than a second on two cores."""


@dataclass(frozen=True)
class MapProgress:
    """Where the drawing of a map stands."""

    stage: str
    done: int
    total: int
    note: str = ""
    """A line for the log of the job."""


@dataclass(frozen=True)
class Map:
    """Completions on a plane."""

    comparison: int
    """Id of the comparison whose completions these are."""
    points: list[MapPoint]
    method: Literal["UMAP", "PCA"]
    note: str
    """How the points were laid out, for people."""
    not_kept: str | None = None
    """Why the texts are in memory alone; None: they are stored."""


def draw(
    comparison: Comparison,
    names: dict[int, str],
    embedder: Embedder,
    embeddings: Embeddings,
    compute: ComputeLock,
    stop: Stop,
) -> Generator[MapProgress, None, Map | None]:
    """Embed and project the completions of ``comparison``; None when stopped. What was done before is looked up.

    ``names`` are the labels of the bank's vectors. Others may compute while points are laid out, without the model.
    Raises InputError for more texts than a map can hold.
    """
    completions: Sequence = comparison.completions
    texts = [completion.text for completion in completions]
    total = len(completions) + 1
    check_count("texts", len(completions), MOST_MAPPED, f"A map can hold at most {MOST_MAPPED:,}")
    yield MapProgress(f"embedding {len(completions)} completions", 0, total)
    projection = None
    with suppress(StorageError):  # what cannot be looked up is made
        projection = embeddings.find_projection(embedder.identity, texts)
    if projection is None:
        try:
            with compute.hold():
                points = embed(texts, embedder, embeddings, compute.giving_way(stop))
        except Stopped:
            return None
        if stop():
            return None
        yield MapProgress("laying the points out", total - 1, total)
        projection = project(points)
        with suppress(StorageError):  # a map that cannot be kept is drawn all the same
            embeddings.add_projection(embedder.identity, texts, projection)
    placed = [
        MapPoint(
            id=completion.id,
            x=float(x),
            y=float(y),
            vector=completion.vector,
            radius=completion.radius,
            label=names.get(completion.vector, "") if isinstance(completion.vector, int) else "",
            text=completion.text,
            prompt_index=completion.prompt_index,
        )
        for completion, (x, y) in zip(completions, projection.xy, strict=True)
    ]
    return Map(comparison.id, placed, projection.method, projection.note, comparison.not_kept)


def embed(texts: Sequence[str], embedder: Embedder, embeddings: Embeddings, stop: Stop = lambda: False) -> np.ndarray:
    """Places [N, D] of all texts, of which only those are embedded that never were.

    ``stop`` is asked before every few of them. Raises Stopped; those that were embedded are kept.
    """
    rows: dict[str, np.ndarray] = {}
    with suppress(StorageError):
        rows = embeddings.find(embedder.identity, texts)
    missing = [text for text in dict.fromkeys(texts) if text not in rows]
    for start in range(0, len(missing), EMBEDDED_AT_ONCE):
        raise_if(stop)
        some = missing[start : start + EMBEDDED_AT_ONCE]
        new = dict(zip(some, embedder.encode(some), strict=True))
        with suppress(StorageError):
            embeddings.add(embedder.identity, new)
        rows |= new
    if len({len(row) for row in rows.values()}) > 1:  # one that was kept is damaged, and it cannot be said which
        rows = dict(zip(texts, embedder.encode(texts), strict=True))
        with suppress(StorageError):
            embeddings.add(embedder.identity, rows)
    return np.stack([rows[text] for text in texts])
