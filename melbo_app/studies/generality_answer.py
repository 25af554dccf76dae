"""Generality as JSON and for the terminal."""

from dataclasses import asdict
from typing import Any, TypedDict, cast

from melbo_app.analysis.change import ChangeKind
from melbo_app.analysis.readability import Verdict
from melbo_app.library.bank import PromptRecord
from melbo_app.library.generality import Generality, TriedAnswer, TriedRandom, TriedVector
from melbo_app.studies.as_json import plain
from melbo_app.studies.steer import FlagLine


class TriedText(TypedDict):
    """The answer to one prompt; ``change`` is lifted, flagged, meaning or None. ``changed`` counts the answers that
    changed, with those of further seeds, which are the ``samples``."""

    text: str
    verdict: Verdict | None
    flags: list[FlagLine]
    distance: float
    threshold: float
    change: ChangeKind | None
    changed: int
    samples: list[dict[str, Any]]


class TriedLine(TypedDict):
    """A vector on all prompts: its share of changed answers with a 95 % interval, the same for all random vectors of
    its R, and the lowest and highest share of a single one. ``texts`` are in the order of the prompts."""

    vector: int
    radius: float
    share: float
    interval: tuple[float, float]
    random_share: float
    random_interval: tuple[float, float]
    random_range: tuple[float, float]
    changes: dict[str, int]
    worst_group: str
    worst_group_share: float
    mean_of_groups: float
    texts: list[TriedText]


class TriedRandomLine(TypedDict):
    number: int
    radius: float
    share: float
    interval: tuple[float, float]
    texts: list[TriedText]


class GroupLine(TypedDict):
    """The prompts of one group (or set): the share of each vector, of all vectors, and of the random ones."""

    name: str
    prompts: int
    vectors: list[float]
    mean: float
    random_share: float


class GeneralPrompt(TypedDict):
    prompt: PromptRecord
    group: str
    set: str
    baseline: str
    refuses: bool
    refusals: int
    samples: list[str]


class General(TypedDict):
    """The result of a generality (``library/generality.py``)."""

    bank: str
    bank_hash: str
    model: str
    radius: float | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    samples: int
    finished: bool
    refused: int
    prompts: list[GeneralPrompt]
    vectors: list[TriedLine]
    random: list[TriedRandomLine]
    groups: list[GroupLine]
    sets: list[GroupLine]
    not_kept: str | None


def general(found: Generality, not_kept: str | None = None) -> General:
    """A generality as JSON; ``not_kept`` says why it could not be stored."""
    keys = {
        "bank", "bank_hash", "model", "radius", "max_new_tokens", "temperature", "top_p", "seed", "samples",
        "finished", "refused",
    }  # fmt: skip
    prompts = [
        {
            **plain(one), "baseline": baseline.text, "refuses": baseline.refuses, "refusals": baseline.refusals,
            "samples": [other.text for other in baseline.samples],
        }
        for one, baseline in zip(found.prompts, found.baselines, strict=True)
    ]  # fmt: skip
    vectors = [
        {
            "vector": one.vector, "radius": one.radius, "share": one.share.share, "interval": one.share.interval,
            "random_share": one.random.share, "random_interval": one.random.interval,
            "random_range": one.random_range, "changes": one.changes, "worst_group": one.worst_group.name,
            "worst_group_share": one.worst_group.share, "mean_of_groups": one.mean_of_groups,
            "texts": _texts(one),
        }
        for one in found.vectors
    ]  # fmt: skip
    random = [
        {
            "number": one.number, "radius": one.radius, "share": one.share.share, "interval": one.share.interval,
            "texts": _texts(one),
        }
        for one in found.random
    ]  # fmt: skip
    facts = {key: getattr(found, key) for key in keys}
    return cast(
        General,
        {
            **facts, "prompts": prompts, "vectors": vectors, "random": random,
            "not_kept": not_kept, "groups": [asdict(one) for one in found.by("groups")],
            "sets": [asdict(one) for one in found.by("sets")],
        },
    )  # fmt: skip


def _texts(row: TriedVector | TriedRandom) -> list[dict[str, Any]]:
    """The answers in the order of the prompts."""
    return [
        {**plain(one), "changed": one.changed, "samples": [_sample(other) for other in one.samples]}
        for one in row.answers
    ]


def _sample(answer: TriedAnswer) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude={"samples"})


def lines_of(found: Generality) -> list[str]:
    """A generality for the terminal."""
    lines = [] if found.finished else [f"Stopped: {len(found.prompts)} of {len(found.asked)} prompts"]
    answers = f", {found.samples} answers to each" * (found.samples > 1)
    lines.append(
        f"{len(found.prompts)} prompts{answers}, {found.refused} refused without steering; shares of changed answers "
        "with their 95 % intervals"
    )
    lines += [_line(one) for one in found.vectors]
    for kind in ("sets", "groups"):
        several = found.by(kind)
        if len(several) > 1:
            lines += [
                f"{kind[:-1]} {one.name} ({one.prompts}): vectors {one.mean:.0%}, random {one.random_share:.0%}"
                for one in several
            ]
    return lines


def _line(one: TriedVector) -> str:
    share, low, high = one.share.share, *one.share.interval
    least, most = one.random_range
    kinds = ", ".join(f"{count} {kind}" for kind, count in one.changes.items() if count)
    line = f"vector {one.vector}, R = {one.radius:g}: {share:.0%} ({low:.0%} to {high:.0%})"
    line += f", random {one.random.share:.0%} (single ones {least:.0%} to {most:.0%})"
    if len(one.groups) > 1:
        worst = one.worst_group
        line += f"; worst group {worst.share:.0%} ({worst.name}), mean of groups {one.mean_of_groups:.0%}"
    return line + (f"; {kinds}" if kinds else "")
