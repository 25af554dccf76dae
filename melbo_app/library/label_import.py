"""Labels from a file, put into a library beside those that are there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.database import Database
from melbo_app.library.label import LabelVersion, said
from melbo_app.library.label_lines import WORDS, Fault, LabelLine, LabelsRead
from melbo_app.library.labels import current, remember, replace
from melbo_app.quoting import readable, shown

MOST_NAMED = 20
"""Sentences in one message."""
Whose = tuple[int, str, bool]


class LabelsRefused(InputError):
    """A file of labels of which nothing was kept; ``faults`` says why, line by line."""

    def __init__(self, name: str, faults: list[Fault]) -> None:
        self.faults = [str(fault) for fault in faults[:MOST_NAMED]]
        if len(faults) > MOST_NAMED:
            self.faults.append(f"{len(faults) - MOST_NAMED:,} more cannot be taken.")
        super().__init__(f"“{readable(name)}”", "nothing was imported", " ".join(self.faults).rstrip("."))


@dataclass(frozen=True)
class LabelsWanted:
    """How a file of labels is to be taken: into which bank with how many ``vectors``; as whose, for lines that do not
    say it; whether those of ``each`` annotator are wanted; whether it may ``replace`` newer labels; and whether the
    right lines are taken where others are wrong (``partly``)."""

    name: str
    bank: str
    bank_hash: str
    vectors: int
    annotator: str = ""
    each: bool = False
    replace: bool = False
    partly: bool = False
    author: str = ""


@dataclass(frozen=True)
class LabelsImported:
    """What a file changed: how many labels are ``new``, ``changed`` and were the ``same``; lines that say ``nothing``;
    lines of other banks, and sentences about the lines that were ``left_out``."""

    bank: str
    new: int = 0
    changed: int = 0
    same: int = 0
    nothing: int = 0
    elsewhere: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The same for people."""
        counts = f"Labels of “{self.bank}”: {self.new} new, {self.changed} changed, {self.same} the same as before."
        empty = f"Lines that say nothing: {self.nothing}." if self.nothing else ""
        return [one for one in (counts, empty, *self.elsewhere, *(f"Left out: {one}" for one in self.left_out)) if one]


def import_labels(database: Database, read: LabelsRead, how: LabelsWanted) -> LabelsImported:
    """Keep the labels that were read, all of them or none (but see ``LabelsWanted.partly``), each with its history.

    A label that is new here has the file's date; one that changes has today's. Raises LabelsRefused and StorageError.
    """
    faults, others, seen = [*read.faults], dict[str, list[LabelLine]](), dict[Whose, int]()
    wanted: list[tuple[Whose, LabelLine]] = []
    for line in read.lines:
        try:
            if (bank := _other_bank(line, how)) is not None:
                others.setdefault(bank, []).append(line)
                continue
            whose = _whose(line, how)
            if whose in seen:
                who = f" of “{readable(whose[1])}”" if whose[1] else ""
                problem = f"the label{who} for vector {line.vector} is in line {seen[whose]}, too"
                raise InputError("vector", problem, "Leave one of them out")
            seen[whose] = line.line
            wanted.append((whose, line))
        except InputError as error:
            faults.append(Fault(line.line, error.field, error.problem, error.remedy))
    if others and not seen and not faults:
        bank, (first, *_) = next(iter(others.items()))
        problem = f"it is of {shown(bank)}, as are all lines, and not of “{how.bank}”" if len(others) == 1 else (
            f"it is of {shown(bank)}, and no line is of “{how.bank}”"
        )  # fmt: skip
        faults.append(Fault(first.line, _naming(first), problem, "Import it into the bank that it names"))
    counts = {"new": 0, "changed": 0, "same": 0, "nothing": 0}
    with database.write() as session:
        here = {(one.vector, *one.whose[2:]): one for one in current(session, how.bank_hash)}
        by_vector: dict[int, list[LabelVersion]] = {}
        for one in here.values():
            by_vector.setdefault(one.vector, []).append(one)
        for whose, line in wanted:
            before = here.get(whose)
            version = _version(line, whose, before, how)
            same = [before] if line.annotator is not None or before else by_vector.get(line.vector, [])
            if not any(said(version)):
                counts["nothing"] += 1
            elif any(one is not None and said(one) == said(version) for one in same):
                counts["same"] += 1
            elif before is not None and not how.replace and (line.updated is None or before.updated > line.updated):
                faults.append(_clash(line, before, version))
            else:
                counts["new" if before is None else "changed"] += 1
                remember(session, version)
                replace(session, version)
        faults.sort()
        if faults and (not how.partly or (others and not seen)):
            raise LabelsRefused(how.name, faults)
    return LabelsImported(how.bank, **counts, elsewhere=_elsewhere(others), left_out=[*map(str, faults)])


def _other_bank(line: LabelLine, how: LabelsWanted) -> str | None:
    """The bank of a line that is not of this one; None if it is. Raises InputError for this bank's name beside other
    vectors, and for a vector that it does not have."""
    if line.bank_hash and line.bank_hash != how.bank_hash:
        if line.bank in ("", how.bank):
            problem = f"it is of other vectors than “{how.bank}” has here"
            raise InputError("bank_hash", problem, "Import it into the bank that was labelled")
        return line.bank
    if not line.bank_hash and line.bank not in ("", how.bank):
        return line.bank
    if line.vector >= how.vectors:
        problem = f"“{how.bank}” has no vector {line.vector}"
        raise InputError("vector", problem, f"It has 0 to {how.vectors - 1}")
    return None


def _whose(line: LabelLine, how: LabelsWanted) -> Whose:
    """Raises InputError for another annotator's label, or a settled one, unless each is wanted."""
    who = how.annotator if line.annotator is None else line.annotator
    if not how.each and (line.settled or who != how.annotator):
        column, whose = ("settled", "a settled one") if line.settled else ("annotator", f"that of {_named(who)}")
        problem = f"the label is {whose}, and only those of {_named(how.annotator)} are asked for"
        raise InputError(column, problem, "Ask for every annotator’s")
    return line.vector, "" if line.settled else who, line.settled


def _named(annotator: str) -> str:
    return f"“{readable(annotator)}”" if annotator else "people without a name"


def _version(line: LabelLine, whose: Whose, before: LabelVersion | None, how: LabelsWanted) -> LabelVersion:
    """The label as it will be kept; what the file has no column for stays as it is."""
    vector, annotator, settled = whose
    base: Mapping[str, Any] = dict(zip(WORDS, said(before), strict=True)) if before else {}
    now = datetime.now(UTC)
    return LabelVersion(
        bank=how.bank, bank_hash=how.bank_hash, vector=vector, author=how.author, settled=settled,
        annotator=(line.annotator or "") if settled else annotator,
        updated=min(line.updated or now, now) if before is None else now, **{**base, **line.words},
    )  # fmt: skip


def _clash(line: LabelLine, before: LabelVersion, wanted: LabelVersion) -> Fault:
    pairs = zip(WORDS, said(before), said(wanted), strict=True)
    column, here, there = next(one for one in pairs if one[1] != one[2])
    since = before.updated.astimezone().strftime("%Y-%m-%d %H:%M")
    file = "the older file" if line.updated else "the file, which has no date"
    problem = f"vector {line.vector} says {_quoted(here)} here, since {since}, and {_quoted(there)} in {file}"
    return Fault(line.line, column, problem, "Replace newer labels, if the file’s are to be taken")


def _quoted(value: Any) -> str:
    """A name, tags, a rating or a note in a message."""
    return "nothing" if value in ("", (), None) else shown(", ".join(value) if isinstance(value, tuple) else value)


def _elsewhere(others: Mapping[str, list[LabelLine]]) -> list[str]:
    """A sentence for each other bank of which the file has labels."""
    return [
        f"Of another bank, {shown(bank)}, by {_naming(lines[0])}: {len(lines)}, the first in line {lines[0].line}."
        for bank, lines in others.items()
    ]


def _naming(line: LabelLine) -> str:
    """The column that names a line's bank."""
    return "bank_hash" if line.bank_hash else "bank"
