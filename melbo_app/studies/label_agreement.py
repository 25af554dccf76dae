"""How far annotators agree about a bank's vectors, going by what each said before they saw the others' labels."""

from collections.abc import Generator, Iterable
from typing import ClassVar, NamedTuple, TypedDict, cast

from pydantic import Field

from melbo_app.analysis.alpha import Alpha, of_ratings, of_tags
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.label import LabelVersion, said
from melbo_app.studies.disagreements import NAMELESS, Disagreement, disagreements


class Annotator(NamedTuple):
    """An annotator, and how many vectors they have labelled and rated; without a name: ""."""

    name: str
    labelled: int
    rated: int


class Agreement(NamedTuple):
    """The agreement of a bank's annotators about ratings (ordinal) and tags (sets, by MASI), and what is to settle."""

    bank: str
    annotators: list[Annotator]
    ratings: Alpha
    tags: Alpha
    disagreements: list[Disagreement]
    settled: int
    """Vectors."""


class AnnotatorLine(TypedDict):
    name: str
    labelled: int
    rated: int


class AlphaLine(TypedDict):
    alpha: float | None
    interval: list[float] | None
    vectors: int
    why_not: str


class DisagreementLine(TypedDict):
    vector: int
    ratings: list[int] | None
    tags: list[str]
    distance: float


class Agreed(TypedDict):
    bank: str
    annotators: list[AnnotatorLine]
    ratings: AlphaLine
    tags: AlphaLine
    disagreements: list[DisagreementLine]
    settled: int
    not_kept: str | None


class LabelAgreement(Study[Agreement]):
    """How far a bank's annotators agree: Krippendorff's alpha of their ratings and tags, each with a 95 % interval, and
    the vectors about which they disagree.

    Returns:
        annotators: name, labelled and rated (vectors) of each; settled: vectors
        ratings, tags: alpha, interval (low, high), vectors (described by two or more); why_not says why either is null
        disagreements: vector, ratings (lowest, highest), tags and distance of each, the widest apart first
    """

    kind: ClassVar[str] = "label-agreement"
    how: ClassVar[How] = "look"
    doors = frozenset({"http"})

    bank: str = Field(description="name of a bank")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Agreement]:
        digest = bench.banks.load(self.bank).hash
        yield Progress("comparing the labels", 0, 1)
        given = blind(bench.labels.versions([digest]))
        now = bench.labels.said(digest)
        ratings = [[one.rating for one in labels.values() if one.rating is not None] for labels in given.values()]
        tags = [[frozenset(one.tags) for one in labels.values()] for labels in given.values()]
        by: dict[str, list[LabelVersion]] = {}
        for one in now:
            if not one.settled:
                by.setdefault(one.annotator, []).append(one)
        people = [Annotator(who, len(its), sum(one.rating is not None for one in its)) for who, its in by.items()]
        settled = sum(one.settled for one in now)
        return Agreement(self.bank, sorted(people), of_ratings(ratings), of_tags(tags), disagreements(now), settled)

    def answer(self, result: Agreement, not_kept: str | None) -> Agreed:
        return {
            "bank": result.bank,
            "annotators": [cast(AnnotatorLine, one._asdict()) for one in result.annotators],
            "ratings": _alpha(result.ratings),
            "tags": _alpha(result.tags),
            "disagreements": [cast(DisagreementLine, one.model_dump(mode="json")) for one in result.disagreements],
            "settled": result.settled,
            "not_kept": not_kept,
        }

    def lines(self, result: Agreement) -> list[str]:
        people = [f"{one.name or NAMELESS}: {one.labelled} labelled, {one.rated} rated" for one in result.annotators]
        alphas = [alpha_line("ratings", result.ratings), alpha_line("tags", result.tags)]
        apart = [f"vector {one.vector}: {one.sentence}" for one in result.disagreements]
        to_settle = f"{len(apart)} to settle, {result.settled} settled"
        return [*(people or [f"Nobody has labelled a vector of “{result.bank}”."]), *alphas, to_settle, *apart]


def _alpha(found: Alpha) -> AlphaLine:
    interval = None if found.interval is None else [*found.interval]
    return {"alpha": found.alpha, "interval": interval, "vectors": found.vectors, "why_not": found.why_not}


def alpha_line(what: str, found: Alpha) -> str:
    """An alpha in one line."""
    if found.alpha is None:
        return f"{what}: no alpha: {found.why_not}"
    between = "no interval: " + found.why_not
    if found.interval is not None:
        between = "95 % interval {:.2f} to {:.2f}".format(*found.interval)
    return f"{what}: alpha {found.alpha:.2f} of {found.vectors} vectors, {between}"


def blind(versions: Iterable[LabelVersion]) -> dict[int, dict[str, LabelVersion]]:
    """For each vector what each annotator said before they could see the others' labels: their last version from before
    they and somebody else had both saved one."""
    of: dict[int, list[LabelVersion]] = {}
    for version in versions:
        if not version.settled:
            of.setdefault(version.vector, []).append(version)
    found = {}
    for vector, some in of.items():
        first: dict[str, LabelVersion] = {}
        for version in some:
            if any(said(version)):
                first.setdefault(version.annotator, version)
        labels = {}
        for who, own in first.items():
            others = [one.updated for name, one in first.items() if name != who]
            seen_at = max(own.updated, min(others)) if others else None
            mine = [one for one in some if one.annotator == who and (seen_at is None or one.updated <= seen_at)]
            if mine and any(said(mine[-1])):
                labels[who] = mine[-1]
        found[vector] = labels
    return found
