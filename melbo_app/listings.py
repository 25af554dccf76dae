"""Models, banks, jobs and labels as JSON, the same for ``--json`` and for the HTTP API."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypedDict, cast

from melbo_app.jobs.loaded_model import CatalogueLine, ModelSummary
from melbo_app.library.bank import Bank, BankSummary
from melbo_app.library.damage import Listed
from melbo_app.library.job_records import JobRecord, JobState
from melbo_app.library.label import Label
from melbo_app.library.label_readings import LabelReading, facts
from melbo_app.studies.as_json import plain


class KnownModel(TypedDict):
    name: str
    spec: str
    loaded: bool


class CatalogueModelLine(TypedDict):
    """A model of the catalogue; ``size`` is its download in bytes, ``state`` is loaded, ready or absent."""

    key: str
    name: str
    state: str
    size: int
    sha256: str
    licence: str
    parameters: int
    blocks: int
    hidden_size: int
    has_template: bool
    good_for: str
    warning: str


class KnownModels(TypedDict):
    models: list[KnownModel]
    catalogue: list[CatalogueModelLine]


class BankLine(TypedDict):
    """A bank on the shelf. If it is damaged, ``damaged`` says how, and nothing else is known."""

    name: str
    sample: bool
    vectors: int
    hash: str | None
    model: str | None
    source: int | None
    target: int | None
    scope: str | None
    radius: float | None
    method: str | None
    created: str | None
    damaged: str | None


class Shelf(TypedDict):
    banks: list[BankLine]


class Imported(TypedDict):
    name: str
    vectors: int
    radius: float
    note: str | None


class JobStep(TypedDict):
    stage: str
    done: int
    total: int
    seconds_left: float | None


class LogEntry(TypedDict):
    at: str
    text: str


class JobLine(TypedDict):
    """A job. ``bank`` is the name of the bank that it made, ``comparison`` the id of the comparison; None until then.
    ``place`` is its place in the queue while it waits."""

    id: int
    kind: str
    title: str
    request: dict[str, Any]
    state: JobState
    progress: JobStep | None
    log: list[LogEntry]
    who: str
    created: str
    started: str | None
    ended: str | None
    bank: str | None
    comparison: int | None
    error: str | None
    place: int | None


class JobLines(TypedDict):
    """``damaged`` has a sentence for each entry left out because it cannot be read."""

    jobs: list[JobLine]
    damaged: list[str]


class LabelLine(TypedDict):
    bank: str
    bank_hash: str
    vector: int
    name: str
    tags: list[str]
    rating: int | None
    note: str
    updated: str | None


class ReadingLine(TypedDict):
    """How well a person, given a label, told ``unseen`` texts of its vector from as many of random vectors: the AUROC
    with its 95 % interval."""

    auroc: float
    low: float
    high: float
    unseen: int


class TestedLabelLine(LabelLine):
    readings: list[ReadingLine]


class LabelLines(TypedDict):
    """``damaged`` has a sentence for each entry left out because it cannot be read."""

    labels: list[TestedLabelLine]
    damaged: list[str]


def known_models(models: Iterable[ModelSummary], catalogue: Iterable[CatalogueLine]) -> KnownModels:
    """The models ready to be loaded, and the catalogue."""
    keys = [key for key in CatalogueModelLine.__annotations__ if key != "state"]
    lines = [{key: getattr(line.entry, key) for key in keys} | {"state": line.state} for line in catalogue]
    known = [cast(KnownModel, asdict(entry)) for entry in models]
    return {"models": known, "catalogue": cast(list[CatalogueModelLine], lines)}


def shelf(banks: Iterable[BankSummary]) -> Shelf:
    """The banks, in their order."""
    keys = ("model", "source", "target", "scope", "radius", "method", "created")
    lines: list[BankLine] = []
    for entry in banks:
        record = plain(entry.record) if entry.record else {}
        facts = {"name": entry.name, "sample": entry.sample, "vectors": entry.vectors, "hash": entry.hash}
        line = facts | {key: record.get(key) for key in keys} | {"damaged": entry.damaged}
        lines.append(cast(BankLine, line))
    return {"banks": lines}


def imported(bank: Bank) -> Imported:
    """An imported bank; its ``note`` lists assumptions."""
    record = bank.record
    return {"name": record.name, "vectors": len(bank.vectors), "radius": record.radius, "note": record.note}


def job_lines(jobs: Listed[JobRecord]) -> JobLines:
    """Jobs, in their order."""
    return {"jobs": [plain(entry) for entry in jobs], "damaged": [str(one) for one in jobs.damaged]}


def label_lines(labels: Listed[Label], readings: Iterable[Sequence[LabelReading]]) -> LabelLines:
    """Labels, in their order, each with its readings."""
    lines = [plain(entry) | {"readings": facts(read)} for entry, read in zip(labels, readings, strict=True)]
    return {"labels": cast(list[TestedLabelLine], lines), "damaged": [str(one) for one in labels.damaged]}
