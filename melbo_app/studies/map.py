"""A map: completions embedded and laid out on a plane, similar ones close together."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, TypedDict, cast

import numpy as np
from pydantic import Field

from melbo_app.analysis.layout import Layout
from melbo_app.analysis.projection import MapPoint, Projection, project
from melbo_app.analysis.text_clusters import TextCluster, text_clusters
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress, unless_stopped
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Made, Study
from melbo_app.library.completion import Comparison
from melbo_app.library.label import Label
from melbo_app.limits import MOST_MAPPED, check_count, check_prompts, check_texts
from melbo_app.studies.as_json import stored
from melbo_app.studies.memory_note import say_memory
from melbo_app.studies.steer import SteeringStudy

Origin = Literal["new", "old"]
"""Whether all texts were laid out for this map, or keep the places of an earlier one."""


class PlacedText(TypedDict):
    """A completion on the map; its ``id`` is that of the text."""

    id: int | None
    x: float
    y: float
    vector: int | Literal["random"] | None
    radius: float
    label: str
    text: str
    prompt_index: int
    verdict: str | None
    cluster: int | None


class NamedCluster(TypedDict):
    name: str
    size: int


class Drawn(TypedDict):
    comparison: int | None
    method: Literal["UMAP", "PCA"]
    note: str
    points: list[PlacedText]
    layout: Origin
    clusters: list[NamedCluster]
    not_kept: str | None


@dataclass(frozen=True)
class Map:
    """Completions on a plane."""

    comparison: int
    """Id of the comparison whose completions these are."""
    points: list[MapPoint]
    method: Literal["UMAP", "PCA"]
    note: str
    """How the points were laid out, as a sentence."""
    layout: Origin
    clusters: list[TextCluster]
    """Texts that say similar things, the largest cluster first; a point's ``cluster`` counts them."""
    bank: str | None
    bank_hash: str | None
    prompts: list[str]
    not_kept: str | None = None
    """Why the texts are only in memory; None: they are stored."""


class DrawMap(SteeringStudy["Map | None"]):
    """Complete as `steer` does, and place the texts on a plane, similar ones close together.

    Returns:
        method (UMAP, or PCA for few texts), layout (new or old), note, points: x, y, vector, radius, label, text,
        verdict and cluster of each, clusters: name and size of each, and not_kept
    """

    kind: ClassVar[str] = "map"
    hidden: ClassVar[frozenset[str]] = frozenset({"both_signs"})

    fresh: bool = Field(
        False,
        description="lay all texts out anew; else a map that shares most texts with the last one keeps its places",
    )

    @property
    def title(self) -> str:
        return f"Map of “{self.bank}”"

    def check(self, bench: Bench) -> None:
        check_prompts(self.prompts)
        check_texts(len(self.prompts), len(self.variants(bench)), MOST_MAPPED)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Map | None]:
        """The map, or None if it was stopped first."""
        yield from say_memory(self, bench, stop)
        work = self.completed(bench, stop, "map")
        try:
            comparison = yield from map_progress(
                work, lambda now: Progress(f"completing: {now.stage}", now.done, now.total)
            )
        except Stopped:  # before the first token
            return None
        return None if stop() else (yield from draw(bench, comparison, stop, fresh=self.fresh))

    def made(self, result: Map | None) -> Made:
        return Made(comparison=None if result is None else result.comparison)

    def answer(self, result: Map | None, not_kept: str | None) -> Drawn:
        return drawn(result)


class MapOf(Study["Map | None"]):
    """The map of an earlier comparison; the same texts give the same map."""

    kind: ClassVar[str] = "map-of"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    comparison: int = Field(description="its number")

    def answer(self, result: Map | None, not_kept: str | None) -> Drawn:
        return drawn(result)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Map | None]:
        return (yield from draw(bench, bench.completions.comparison(self.comparison), stop))


def draw(
    bench: Bench, comparison: Comparison, stop: Stop, *, fresh: bool = False
) -> Generator[Progress, None, Map | None]:
    """Embed and place the completions of ``comparison``; None after a stop. Earlier results are looked up.

    Others may compute while the points are laid out. A stop is answered at once; the layout ends with its
    present epoch, but the search for clusters runs on (3 to 5 s for 5,000 texts) and is dropped.
    Raises InputError for more texts than a map can hold.
    """
    bank_hash = comparison.settings.get("bank_hash")
    labels: dict[int, Label] = {}
    with suppress(StorageError):  # draw the map without names
        labels = bench.labels.of_bank(bank_hash) if bank_hash else {}
    names = {vector: label.name for vector, label in labels.items()}
    completions: Sequence = comparison.completions
    texts = [completion.text for completion in completions]
    total = len(completions) + 1
    check_count("texts", len(completions), MOST_MAPPED, f"A map can hold at most {MOST_MAPPED:,}")
    yield Progress(f"embedding {len(completions)} completions", 0, total)
    try:
        rows = bench.embed(texts, stop)
        raise_if(stop)
        yield Progress("laying the points out", total - 1, total)
        projection, origin = unless_stopped(lambda left: _laid_out(bench, texts, rows, fresh, left), stop)
        bench.layouts.add(Layout(texts, rows, projection))
        raise_if(stop)
        yield Progress("finding clusters", total - 1, total)
        numbers, clusters = unless_stopped(lambda _: text_clusters(rows, texts), stop)
    except Stopped:
        return None
    placed = [
        MapPoint(
            x=float(x),
            y=float(y),
            label=names.get(completion.vector, "") if isinstance(completion.vector, int) else "",
            verdict=None if completion.scores is None else completion.scores.verdict,
            cluster=cluster,
            **completion.model_dump(include={"id", "vector", "radius", "text", "prompt_index"}),
        )
        for completion, (x, y), cluster in zip(completions, projection.xy, numbers, strict=True)
    ]
    prompts = {completion.prompt_index: completion.prompt.user for completion in completions}
    return Map(
        comparison.id, placed, projection.method, projection.note, origin, clusters,
        comparison.settings.get("bank"), bank_hash,
        [prompts.get(at, "") for at in range(max(prompts) + 1)], comparison.not_kept,
    )  # fmt: skip


def _laid_out(
    bench: Bench, texts: Sequence[str], rows: np.ndarray, fresh: bool, stop: Stop
) -> tuple[Projection, Origin]:
    """The places of the texts: as they were drawn before, or in the layout of a map with most of them, or new ones."""
    embedder, embeddings = bench.embedder, bench.embeddings
    known = None
    if not fresh:
        with suppress(StorageError):  # compute it instead
            known = embeddings.find_projection(embedder.identity, texts)
    if known is not None:
        return known, "old"
    before = None if fresh else bench.layouts.find(texts)
    projection = project(rows, stop) if before is None else before.extended(texts, rows)
    with suppress(StorageError):  # the map is shown anyway
        embeddings.add_projection(embedder.identity, texts, projection)
    return projection, "new" if before is None else "old"


def drawn(found: Map | None) -> Drawn:
    """A map's points, and how they were laid out. Raises InputError without a map."""
    if found is None:
        raise InputError("map", "it was stopped before it was finished", "Draw it again")
    points = [cast(PlacedText, asdict(point) | {"id": stored(point.id)}) for point in found.points]
    return {
        "comparison": stored(found.comparison), "method": found.method, "note": found.note, "points": points,
        "layout": found.layout, "clusters": [cast(NamedCluster, asdict(one)) for one in found.clusters],
        "not_kept": found.not_kept,
    }  # fmt: skip
