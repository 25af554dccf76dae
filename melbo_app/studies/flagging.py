"""Flags of completions, each compared with its baseline, and orders that show conspicuous texts first."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict, cast, get_args

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
    """The flags of each completion, sampled ones beside the baseline of their own seed; the baseline is flagged only
    for repeating its prompt or system prompt."""
    baselines = {_beside(one): one.text for one in completions if one.vector is None}
    return [
        flags(one.text, one.prompt.user, one.prompt.system, None if one.vector is None else baselines.get(_beside(one)))
        for one in completions
    ]


def _beside(completion: Completion) -> tuple[int, int]:
    """What a text and its baseline have in common: the prompt, and the seed if they are sampled."""
    return completion.prompt_index, completion.seed if completion.temperature else 0


@dataclass(frozen=True)
class Flagged:
    """A flag of a completion, and the id of its comparison."""

    flag: Flag
    completion: Completion
    comparison: int


def gathered(comparisons: Iterable[Comparison]) -> list[Flagged]:
    """All flags of these comparisons and their samples, by kind, prompt and R; each completion counts once."""
    found: dict[str, list[Flagged]] = {}
    for comparison in comparisons:
        texts = comparison.every
        for completion, marks in zip(texts, flagged(texts), strict=True):
            found.setdefault(completion.digest, [Flagged(flag, completion, comparison.id) for flag in marks])
    kinds = get_args(FlagKind)
    return sorted(
        (one for marks in found.values() for one in marks),
        key=lambda one: (kinds.index(one.flag.kind), one.completion.prompt_index, abs(one.completion.radius)),
    )


class FlagOfText(TypedDict):
    """One flag of a text; a text with several has several lines."""

    kind: FlagKind
    reason: str
    id: int | None
    vector: int | Literal["random"] | None
    radius: float
    prompt_index: int
    text: str
    seed: int


def flags_of(comparison: Comparison) -> dict[str, Any]:
    """The flags of a comparison's texts (``FlagOfText``), over all R, sorted by kind."""
    keys = {"id", "vector", "radius", "prompt_index", "text", "seed"}
    lines = [
        cast(FlagOfText, asdict(one.flag) | one.completion.model_dump(include=keys) | {"id": stored(one.completion.id)})
        for one in gathered([comparison])
    ]
    return {
        "comparison": stored(comparison.id), "texts": len(comparison.every), "flagged": lines,
        "not_kept": comparison.not_kept,
    }  # fmt: skip


def flagged_first(completions: Sequence[Completion]) -> list[Completion]:
    """The baselines, then the texts by their number of flags, otherwise in the same order."""
    return _ordered(completions, [len(found) for found in flagged(completions)])


def most_unlike_first(
    completions: Sequence[Completion], embedder: Embedder, embeddings: Embeddings
) -> list[Completion]:
    """The baselines, then the texts of the vectors that are most unlike the rest, over all their R and prompts
    (``unlikeness``)."""
    points = embed([one.text for one in completions], embedder, embeddings)
    makers = [one.vector for one in completions]
    distances = unlikeness(points, makers, [one.prompt_index for one in completions])
    return _ordered(completions, [distances[maker] for maker in makers])


def _ordered(completions: Sequence[Completion], marks: Sequence[float]) -> list[Completion]:
    places = sorted(range(len(completions)), key=lambda at: (completions[at].vector is not None, -marks[at]))
    return [completions[at] for at in places]
