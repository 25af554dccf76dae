"""Flags of completions, each compared with the baseline beside it, and orders that put first what stands out."""

from collections.abc import Sequence
from typing import Literal

from melbo_app.analysis.embedding import Embedder
from melbo_app.analysis.flags import Flag, flags
from melbo_app.analysis.unlikeness import unlikeness
from melbo_app.jobs.mapping import embed
from melbo_app.library.completions import Completion
from melbo_app.library.embeddings import Embeddings

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
