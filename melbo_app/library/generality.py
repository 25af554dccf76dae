"""Generality: on how many prompts vectors change the answer; one JSON file per bank, R and choice of prompts."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, FiniteFloat, model_validator

from melbo_app.analysis.change import ChangeKind
from melbo_app.analysis.flags import FlagKind
from melbo_app.analysis.readability import Verdict
from melbo_app.library.bank import PromptRecord
from melbo_app.library.comparison_settings import Temperature, TopP
from melbo_app.library.facts import Count, Digest, Index, ModelName, Moment, Name, Radius, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class AskedPrompt(Frozen):
    """A prompt with its group and the set it comes from."""

    prompt: PromptRecord
    group: Text = ""
    set: Text = ""


class FlagRecord(Frozen):
    """A flag as it was raised."""

    kind: FlagKind
    reason: Text


class TriedAnswer(Frozen):
    """The answer to one prompt under one vector. ``distance`` is its cosine distance from the unsteered answer; from
    ``threshold`` on, its meaning counts as changed."""

    text: Text
    verdict: Verdict | None
    flags: tuple[FlagRecord, ...]
    distance: FiniteFloat
    threshold: FiniteFloat
    change: ChangeKind | None
    samples: tuple["TriedAnswer", ...] = ()
    """The answers of the seeds after the first."""

    @property
    def every(self) -> tuple["TriedAnswer", ...]:
        """The answers of all seeds."""
        return (self, *self.samples)

    @property
    def changed(self) -> int:
        """How many of them changed."""
        return sum(one.change is not None for one in self.every)


class Share(Frozen):
    """How many of some answers changed, with the 95 % interval of their share (``analysis/proportion.py``)."""

    changed: Count
    answers: Count
    interval: tuple[FiniteFloat, FiniteFloat]

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.changed / self.answers if self.answers else 0.0


class GroupShare(Share):
    """The share within one group or one set of prompts."""

    name: Text


class _Row(Frozen):
    """The answers of one vector, trained or random, to all prompts."""

    radius: Radius
    share: Share
    groups: tuple[GroupShare, ...]
    sets: tuple[GroupShare, ...]
    answers: tuple[TriedAnswer, ...]
    """One per prompt, in order, with those of further seeds in it."""


class TriedRandom(_Row):
    """One random vector on all prompts."""

    number: Index


class TriedVector(_Row):
    """One vector on all prompts. ``random`` counts the answers of all random vectors of its R; ``random_range`` is the
    lowest and the highest share among them."""

    vector: Index
    random: Share
    random_range: tuple[FiniteFloat, FiniteFloat]

    @property
    def worst_group(self) -> GroupShare:
        """The group with the lowest share; the first, if several tie."""
        return min(self.groups, key=lambda one: one.share)

    @property
    def changes(self) -> dict[str, int]:
        """Number of answers by kind of change."""
        kinds = [one.change for answer in self.answers for one in answer.every]
        return {kind: kinds.count(kind) for kind in get_args(ChangeKind)}

    @property
    def mean_of_groups(self) -> float:
        """Mean of the groups' shares, whatever their numbers of prompts."""
        return sum(one.share for one in self.groups) / len(self.groups)


@dataclass(frozen=True)
class GroupLine:
    """One group or set of prompts: the share of each vector, their mean, and that of the random vectors."""

    name: str
    prompts: int
    vectors: tuple[float, ...]
    mean: float
    random_share: float


class Baseline(Frozen):
    """The unsteered answer to one prompt; ``samples`` are those of the seeds after the first."""

    text: Text
    verdict: Verdict | None
    refuses: bool
    samples: tuple["Baseline", ...] = ()

    @property
    def every(self) -> tuple["Baseline", ...]:
        """The answers of all seeds."""
        return (self, *self.samples)

    @property
    def refusals(self) -> int:
        """How many of them refuse."""
        return sum(one.refuses for one in self.every)


class Generality(Measured):
    """On how many prompts each vector of a bank changes the answer, compared with random vectors of the same R."""

    model: ModelName
    dtype: Word
    bank: Name
    bank_hash: Digest
    radius: Radius | None
    """As requested; None: each vector at its own norm."""
    max_new_tokens: Count
    temperature: Temperature = 0.0
    top_p: TopP = 1.0
    seed: Count
    samples: Annotated[int, Field(ge=1)] = 1
    """Answers of each vector to each prompt, by this and the following seeds."""
    prompts: Annotated[tuple[AskedPrompt, ...], Field(min_length=1)]
    """The finished prompts."""
    asked: tuple[AskedPrompt, ...]
    baselines: tuple[Baseline, ...]
    vectors: Annotated[tuple[TriedVector, ...], Field(min_length=1)]
    random: Annotated[tuple[TriedRandom, ...], Field(min_length=1)]
    created: Moment

    @model_validator(mode="after")
    def _of_its_prompts(self) -> Self:
        rows: list[_Row] = [*self.vectors, *self.random]
        if any(len(some) != len(self.prompts) for some in (self.baselines, *(row.answers for row in rows))):
            raise ValueError("it should have an answer to each prompt")
        every = [one.every for one in self.baselines] + [one.every for row in rows for one in row.answers]
        if any(len(one) != self.samples for one in every):
            raise ValueError(f"each prompt should have {self.samples} answers")
        for kind in ("groups", "sets"):
            if len({tuple((one.name, one.answers) for one in getattr(row, kind)) for row in rows}) != 1:
                raise ValueError(f"the {kind} should be the same for all vectors")
        return self

    @property
    def key(self) -> str:
        """Identifies the result: a later one of the same bank, vectors, R and prompts replaces it."""
        prompts = [one.model_dump() for one in self.asked]
        numbers = [one.vector for one in self.vectors]
        facts: list[object] = [self.radius, self.max_new_tokens, self.seed, numbers, len(self.random)]
        if self.temperature:
            facts += [self.temperature, self.top_p, self.samples]
        return key_of([self.model_hash, self.dtype, self.bank_hash, prompts, facts])

    @property
    def finished(self) -> bool:
        """Whether all prompts were answered."""
        return len(self.prompts) == len(self.asked)

    @property
    def refused(self) -> int:
        """Number of prompts that the model refuses without steering, in most of its answers; only refusals can be
        lifted."""
        return sum(2 * one.refusals > self.samples for one in self.baselines)

    def by(self, kind: Literal["groups", "sets"]) -> list[GroupLine]:
        """The results by group or by set, in order of appearance."""
        lines = []
        for at, one in enumerate(getattr(self.vectors[0], kind)):
            ours, theirs = (tuple(getattr(row, kind)[at].share for row in rows) for rows in (self.vectors, self.random))
            lines.append(
                GroupLine(one.name, one.answers // self.samples, ours, sum(ours) / len(ours), sum(theirs) / len(theirs))
            )
        return lines


class Generalities(JsonFiles[Generality]):
    """The generality results on disk."""

    kind, noun = Generality, "generality"
