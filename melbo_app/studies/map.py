"""A map: completions embedded and laid out on a plane, similar ones close together."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, TypedDict, cast

from pydantic import Field

from melbo_app.analysis.projection import MapPoint, project
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Made, Study
from melbo_app.library.completion import Comparison
from melbo_app.library.labels import Label
from melbo_app.limits import MOST_MAPPED, check_count, check_prompts, check_texts
from melbo_app.studies.as_json import stored
from melbo_app.studies.memory_note import say_memory
from melbo_app.studies.steer import SteeringStudy


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


class Drawn(TypedDict):
    comparison: int | None
    method: Literal["UMAP", "PCA"]
    note: str
    points: list[PlacedText]
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
    not_kept: str | None = None
    """Why the texts are only in memory; None: they are stored."""


class DrawMap(SteeringStudy["Map | None"]):
    """Complete as `steer` does, and place the texts on a plane, similar ones close together.

    Returns:
        method (UMAP, or PCA for few texts), note, points: x, y, vector, radius, label, text of each, and not_kept
    """

    kind: ClassVar[str] = "map"
    hidden: ClassVar[frozenset[str]] = frozenset({"both_signs"})

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
        return None if stop() else (yield from draw(bench, comparison, stop))

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


def draw(bench: Bench, comparison: Comparison, stop: Stop) -> Generator[Progress, None, Map | None]:
    """Embed and project the completions of ``comparison``; None after a stop. Earlier results are looked up.

    Others may compute while the points are laid out. Raises InputError for more texts than a map can hold.
    """
    bank_hash = comparison.settings.get("bank_hash")
    labels: dict[int, Label] = {}
    with suppress(StorageError):  # draw the map without names
        labels = bench.labels.of_bank(bank_hash) if bank_hash else {}
    names = {vector: label.name for vector, label in labels.items()}
    embedder, embeddings = bench.embedder, bench.embeddings
    completions: Sequence = comparison.completions
    texts = [completion.text for completion in completions]
    total = len(completions) + 1
    check_count("texts", len(completions), MOST_MAPPED, f"A map can hold at most {MOST_MAPPED:,}")
    yield Progress(f"embedding {len(completions)} completions", 0, total)
    projection = None
    with suppress(StorageError):  # compute it instead
        projection = embeddings.find_projection(embedder.identity, texts)
    if projection is None:
        try:
            points = bench.embed(texts, stop)
        except Stopped:
            return None
        if stop():
            return None
        yield Progress("laying the points out", total - 1, total)
        projection = project(points)
        with suppress(StorageError):  # the map is shown anyway
            embeddings.add_projection(embedder.identity, texts, projection)
    placed = [
        MapPoint(
            x=float(x),
            y=float(y),
            label=names.get(completion.vector, "") if isinstance(completion.vector, int) else "",
            **completion.model_dump(include={"id", "vector", "radius", "text", "prompt_index"}),
        )
        for completion, (x, y) in zip(completions, projection.xy, strict=True)
    ]
    return Map(comparison.id, placed, projection.method, projection.note, comparison.not_kept)


def drawn(found: Map | None) -> Drawn:
    """A map's points, and how they were laid out. Raises InputError without a map."""
    if found is None:
        raise InputError("map", "it was stopped before it was finished", "Draw it again")
    points = [cast(PlacedText, asdict(point) | {"id": stored(point.id)}) for point in found.points]
    return {
        "comparison": stored(found.comparison), "method": found.method, "note": found.note, "points": points,
        "not_kept": found.not_kept,
    }  # fmt: skip
