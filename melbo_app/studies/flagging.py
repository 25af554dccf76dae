"""Flags of completions, each compared with the baseline beside it, and orders that put first what stands out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict, cast, get_args

from melbo_app.analysis.embedding import Embedder
from melbo_app.analysis.flags import Flag, FlagKind, flags
from melbo_app.analysis.unlikeness import unlikeness
from melbo_app.jobs.embedding import embed
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.embeddings import Embeddings
from melbo_app.studies.as_json import stored

Order = Literal["as chosen", "most unlike the rest", "flagged first"]
ORDERS: tuple[Order, ...] = ("as chosen", "most unlike the rest", "flagged first")


def flagged(completions: Sequence[Completion]) -> list[tuple[Flag, ...]]:
    """The flags of each completion; those of the baseline itself are what it repeats of prompt and system prompt."""
    baselines = {one.prompt_index: one.text for one in completions if one.vector is None}
    return [
        flags(
            one.text,
            one.prompt.user,
            one.prompt.system,
            None if one.vector is None else baselines.get(one.prompt_index),
        )
        for one in completions
    ]


@dataclass(frozen=True)
class Flagged:
    """A flag of a completion, and the id of a comparison that it belongs to."""

    flag: Flag
    completion: Completion
    comparison: int


def gathered(comparisons: Iterable[Comparison]) -> list[Flagged]:
    """All flags of these comparisons by kind, and within a kind by prompt and R; each completion counts once."""
    found: dict[str, list[Flagged]] = {}
    for comparison in comparisons:
        for completion, marks in zip(comparison.completions, flagged(comparison.completions), strict=True):
            found.setdefault(completion.digest, [Flagged(flag, completion, comparison.id) for flag in marks])
    kinds = get_args(FlagKind)
    return sorted(
        (one for marks in found.values() for one in marks),
        key=lambda one: (kinds.index(one.flag.kind), one.completion.prompt_index, abs(one.completion.radius)),
    )


class FlagOfText(TypedDict):
    """A flag of a text: where it has several, there is a line for each."""

    kind: FlagKind
    reason: str
    id: int | None
    vector: int | Literal["random"] | None
    radius: float
    prompt_index: int
    text: str


class FlagsOfComparison(TypedDict):
    """What stands out in a comparison, over all its R, sorted by kind."""

    comparison: int | None
    texts: int
    flagged: list[FlagOfText]
    not_kept: str | None


def flags_of(comparison: Comparison) -> FlagsOfComparison:
    """The flags of a comparison's texts, gathered over all R."""
    keys = {"id", "vector", "radius", "prompt_index", "text"}
    lines = [
        cast(FlagOfText, asdict(one.flag) | one.completion.model_dump(include=keys) | {"id": stored(one.completion.id)})
        for one in gathered([comparison])
    ]
    return {
        "comparison": stored(comparison.id), "texts": len(comparison.completions), "flagged": lines,
        "not_kept": comparison.not_kept,
    }  # fmt: skip


def flagged_first(completions: Sequence[Completion]) -> list[Completion]:
    """The baselines, and then the texts with most flags; equals stay as they were."""
    return _ordered(completions, [len(found) for found in flagged(completions)])


def most_unlike_first(
    completions: Sequence[Completion], embedder: Embedder, embeddings: Embeddings
) -> list[Completion]:
    """The baselines, and then the texts of those vectors that are most unlike anything else, over all their R and
    prompts (``unlikeness``)."""
    points = embed([one.text for one in completions], embedder, embeddings)
    makers = [one.vector for one in completions]
    distances = unlikeness(points, makers, [one.prompt_index for one in completions])
    return _ordered(completions, [distances[maker] for maker in makers])


def _ordered(completions: Sequence[Completion], marks: Sequence[float]) -> list[Completion]:
    places = sorted(range(len(completions)), key=lambda at: (completions[at].vector is not None, -marks[at]))
    return [completions[at] for at in places]
