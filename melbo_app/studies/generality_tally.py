"""The tally of a generality: which answers changed, and the shares of each vector."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple, TypeVar

import numpy as np

from melbo_app.analysis.change import change, thresholds
from melbo_app.analysis.clustering import distances
from melbo_app.analysis.flags import Flag, flags
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.analysis.proportion import clustered, interval
from melbo_app.library.completion import Completion
from melbo_app.library.generality import (
    AskedPrompt,
    Baseline,
    FlagRecord,
    GroupShare,
    Share,
    TriedAnswer,
    TriedRandom,
    TriedVector,
)
from melbo_app.studies.completing import Variant

Answer = TypeVar("Answer", Baseline, TriedAnswer)


class Drawn(NamedTuple):
    """The answers by one seed, variant by variant, the unsteered ones first, and their embeddings [N, D]."""

    ours: Sequence[Completion]
    theirs: Sequence[Completion]
    places: np.ndarray
    random_places: np.ndarray


class Tally:
    """The answers so far, by vector; those of further seeds stand in the first one's ``samples``."""

    def __init__(self, prompts: Sequence[AskedPrompt], own: Sequence[Variant], others: Sequence[Variant]) -> None:
        self._prompts, self._own, self._others = tuple(prompts), own, others
        self.baselines: list[Baseline] = []
        self._mine: list[list[TriedAnswer]] = [[] for _ in own]
        self._random: list[list[TriedAnswer]] = [[] for _ in others]

    def add(self, count: int, drawn: Sequence[Drawn]) -> None:
        """Judge the answers to the next ``count`` prompts, ``drawn`` by each seed."""
        for at in range(count):
            baselines, mine, random = zip(*(self._judged(one, count, at) for one in drawn), strict=True)
            self.baselines.append(_first(baselines))
            for kept, answers in ((self._mine, mine), (self._random, random)):
                for row, several in zip(kept, zip(*answers, strict=True), strict=True):
                    row.append(_first(several))

    def _judged(self, drawn: Drawn, count: int, at: int) -> tuple[Baseline, list[TriedAnswer], list[TriedAnswer]]:
        """The answers to one prompt by one seed, compared with the unsteered one of this seed."""
        baseline = drawn.ours[at]
        usual = flags(baseline.text, baseline.prompt.user, baseline.prompt.system)
        far, others_far = (
            distances(rows[at::count], drawn.places[at])[1:] for rows in (drawn.places, drawn.random_places)
        )
        limits: dict[float, float] = {}
        own_limits = [0.0] * len(self._others)
        for length in dict.fromkeys(one.radius for one in self._others):
            rows = [row for row, one in enumerate(self._others) if one.radius == length]
            limits[length], each = thresholds([others_far[row] for row in rows])
            for row, limit in zip(rows, each, strict=True):
                own_limits[row] = limit

        def tried(answers: Sequence[Completion], far: Sequence[float], limits: Sequence[float]) -> list[TriedAnswer]:
            steered = answers[at::count][1:]
            return [_tried(one, baseline, usual, *how) for one, *how in zip(steered, far, limits, strict=True)]

        return (
            Baseline(text=baseline.text, verdict=baseline.verdict, refuses=refusal(baseline.text) is not None),
            tried(drawn.ours, far, [limits[abs(one.radius)] for one in self._own]),
            tried(drawn.theirs, others_far, own_limits),
        )

    def random(self) -> tuple[TriedRandom, ...]:
        """The random vectors on the finished prompts."""
        return tuple(
            TriedRandom(
                number=one.vector, radius=one.radius, share=_share(answers), answers=tuple(answers),
                groups=self._shares(answers, "group"), sets=self._shares(answers, "set"),
            )
            for one, answers in zip(self._others, self._random, strict=True)
        )  # fmt: skip

    def vectors(self, random: Sequence[TriedRandom]) -> tuple[TriedVector, ...]:
        """The vectors on the finished prompts, beside the random ones of their R."""
        found = []
        for variant, answers in zip(self._own, self._mine, strict=True):
            beside = [one for one in random if one.radius == abs(variant.radius)]
            alone = [one.share.share for one in beside]
            found.append(
                TriedVector(
                    vector=variant.vector, radius=variant.radius, share=_share(answers), answers=tuple(answers),
                    random=_random_share([one.answers for one in beside]), random_range=(min(alone), max(alone)),
                    groups=self._shares(answers, "group"), sets=self._shares(answers, "set"),
                )
            )  # fmt: skip
        return tuple(found)

    def _shares(self, answers: Sequence[TriedAnswer], kind: str) -> tuple[GroupShare, ...]:
        """The share in each group (or set), in order of appearance."""
        names = [getattr(one, kind) for one in self._prompts[: len(answers)]]
        found = []
        for name in dict.fromkeys(names):
            some = [answer for answer, own in zip(answers, names, strict=True) if own == name]
            found.append(GroupShare(name=name, **_share(some).model_dump()))
        return tuple(found)


def _first(answers: Sequence[Answer]) -> Answer:
    """The answer by the first seed, with those by the others."""
    first, *others = answers
    return first.model_copy(update={"samples": tuple(others)}) if others else first


def _tried(
    answer: Completion, baseline: Completion, usual: Sequence[Flag], distance: float, threshold: float
) -> TriedAnswer:
    raised = flags(answer.text, answer.prompt.user, answer.prompt.system, baseline.text)
    kinds = {flag.kind for flag in raised} - {flag.kind for flag in usual}
    return TriedAnswer(
        text=answer.text,
        verdict=answer.verdict,
        flags=tuple(FlagRecord(**asdict(flag)) for flag in raised),
        distance=distance,
        threshold=threshold,
        change=change(answer.text, kinds, answer.verdict, distance, threshold),
    )


def _share(answers: Sequence[TriedAnswer]) -> Share:
    """The share of one vector's answers; a prompt is the unit of its interval."""
    changed, each = [one.changed for one in answers], len(answers[0].every)
    return Share(changed=sum(changed), answers=len(changed) * each, interval=clustered(changed, each))


def _random_share(rows: Sequence[Sequence[TriedAnswer]]) -> Share:
    """The share of all random vectors' answers. Of single answers each counts as independent."""
    changed, each = [sum(one.changed for one in answers) for answers in zip(*rows, strict=True)], len(rows[0][0].every)
    total, answers = sum(changed), len(changed) * len(rows) * each
    found = interval(total, answers) if each == 1 else clustered(changed, len(rows) * each)
    return Share(changed=total, answers=answers, interval=found)
