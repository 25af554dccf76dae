"""Reading a file of labels, CSV or JSONL, line by line; each line that cannot be used is named with its column."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from melbo_app.errors import InputError
from melbo_app.library.annotators import check_annotator
from melbo_app.library.facts import Moment
from melbo_app.library.imports import reading
from melbo_app.library.label_file import ABOUT
from melbo_app.library.label_queries import COLUMNS, WHOSE
from melbo_app.library.label_words import check_vector, clean_words
from melbo_app.library.spreadsheet import csv_rows
from melbo_app.library.text_file import text_of
from melbo_app.quoting import readable, shown

TAG = "tag:"
KNOWN = {*COLUMNS, *WHOSE, *ABOUT}
MOST_BYTES, MOST_LINES = 256 << 20, 100_000
WORDS = ("name", "tags", "rating", "note")
ORDER = ("bank", "bank_hash", "vector", *WORDS, f"{TAG}…", "updated", *WHOSE)
YES, NO = {"1", "1.0", "true", "yes"}, {"", "0", "0.0", "false", "no"}
_MOMENT = TypeAdapter(Moment)


class Fault(NamedTuple):
    """What is wrong with a line, in which column."""

    line: int
    column: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"Line {self.line}, {readable(self.column)}: {self.problem}. {self.remedy}."


@dataclass(frozen=True)
class LabelLine:
    """A label in line ``line`` of a file. ``words`` are its name, tags, rating and note, as they are saved, without
    those that the file has no column for; an ``annotator`` of None means that it has none for annotators."""

    line: int
    vector: int
    bank: str = ""
    bank_hash: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)
    updated: datetime | None = None
    annotator: str | None = None
    settled: bool = False


class LabelsRead(NamedTuple):
    """The lines that can be read, and what is wrong with the others, by line."""

    lines: list[LabelLine]
    faults: list[Fault]


def read_lines(path: Path) -> LabelsRead:
    """The labels in a file as ``write_labels`` writes it, also after a spreadsheet has saved it; only the column
    ``vector`` is necessary. Raises InputError for a file that is none of labels, and StorageError."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise InputError("file", f"labels cannot be read from “{readable(path.name)}”", "Choose a .csv or .jsonl file")
    with reading(path), open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MOST_BYTES:
            raise InputError("file", f"it is {size:,} bytes long", f"At most {MOST_BYTES:,} can be read")
        data = stream.read(size)
    try:
        text = text_of(data)
    except UnicodeDecodeError as error:
        remedy = "In Excel, save it as “CSV UTF-8 (comma delimited)”"
        raise InputError("file", f"“{readable(path.name)}” is not text in UTF-8", remedy) from error
    found, unknown = LabelsRead([], []), dict[str, int]()
    for count, (number, cells) in enumerate(_csv(text, unknown) if ending == ".csv" else _jsonl(text, found.faults)):
        if count == MOST_LINES:
            raise InputError("file", f"it has more than {MOST_LINES:,} lines", "Import it in parts")
        _note_unknown(number, cells, unknown)
        try:
            found.lines.append(_line(number, cells, plain=ending == ".csv"))
        except InputError as error:
            found.faults.append(Fault(number, error.field, error.problem, error.remedy))
    remedy = f"Choose from {', '.join(ORDER)}"
    strange = [Fault(number, column, "there is no such column", remedy) for column, number in unknown.items()]
    return LabelsRead(found.lines, sorted([*strange, *found.faults]))


def _note_unknown(number: int, columns: Iterable[str], unknown: dict[str, int]) -> None:
    for column in columns:
        if column not in KNOWN and not column.startswith(TAG):
            unknown.setdefault(column, number)


def _csv(text: str, unknown: dict[str, int]) -> Iterator[tuple[int, dict[str, str]]]:
    """The cells of each row by column."""
    rows = csv_rows(text)
    at, header = next(rows, (1, list[str]()))
    columns = [name.strip() for name in header]
    if "vector" not in columns:
        raise InputError("file", "its first line has no column “vector”", "Choose a file that “labels export” wrote")
    twice = next((name for place, name in enumerate(columns) if name and name in columns[:place]), None)
    if twice is not None:
        raise InputError("file", f"its column “{readable(twice)}” is there twice", "Leave one of them out")
    _note_unknown(at, filter(None, columns), unknown)
    for number, row in rows:
        names = [*columns, *[""] * (len(row) - len(columns))]
        cells = [*row, *[""] * (len(names) - len(row))]
        named = {name or f"column {place}": (name, cells[place - 1]) for place, name in enumerate(names, start=1)}
        yield number, {column: cell for column, (name, cell) in named.items() if name or cell.strip()}


def _jsonl(text: str, faults: list[Fault]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):  # texts may contain other line ends
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError):
            cells = None
        if isinstance(cells, dict):
            yield number, cells
        else:
            faults.append(Fault(number, "line", "it is not a JSON object", "Write one on each line"))


def _line(number: int, cells: Mapping[str, Any], *, plain: bool) -> LabelLine:
    """Raises InputError with the column as its field."""
    vector = _whole("vector", cells.get("vector"), plain=plain)
    if vector is None:
        raise InputError("vector", "it is empty", "Write the number of the vector")
    check_vector(vector)
    words: dict[str, Any] = {
        name: _text(name, cells[name], plain=plain) for name in ("name", "note") if name in cells
    }  # fmt: skip
    if "rating" in cells:
        words["rating"] = _whole("rating", cells["rating"], plain=plain)
    if (tags := _tags(cells, plain=plain)) is not None:
        words["tags"] = tags
    clean = clean_words(
        words.get("name", ""), words.get("tags", ()), words.get("rating"), words.get("note", ""), ""
    )  # fmt: skip
    annotator = _text("annotator", cells["annotator"], plain=plain) if "annotator" in cells else None
    try:
        who = None if annotator is None else check_annotator(annotator)
    except InputError as error:
        raise InputError("annotator", error.problem, error.remedy) from error
    return LabelLine(
        number, vector, _text("bank", cells.get("bank", ""), plain=plain),
        _text("bank_hash", cells.get("bank_hash", ""), plain=plain).strip(), {name: clean[name] for name in words},
        _moment(cells.get("updated")), who, _is("settled", cells.get("settled", False), plain=plain),
    )  # fmt: skip


def _text(column: str, cell: Any, *, plain: bool) -> str:
    if cell is None and not plain:
        return ""
    if not isinstance(cell, str):
        raise InputError(column, f"{shown(cell)} is not a text", "Write one in quotes")
    return cell


def _whole(column: str, cell: Any, *, plain: bool) -> int | None:
    """A whole number; None if it is empty. Spreadsheets may have made 4.0 of 4."""
    if cell is None or (isinstance(cell, str) and plain and not cell.strip()):
        return None
    words = cell.strip().removesuffix(".0") if isinstance(cell, str) and plain else None
    if words is not None and words.isascii() and words.isdigit() and len(words) < 20:
        return int(words)
    if type(cell) is int:
        return cell
    raise InputError(column, f"{shown(cell)} is not a whole number", "Write one, such as 4")


def _is(column: str, cell: Any, *, plain: bool) -> bool:
    if isinstance(cell, bool) or cell is None:
        return bool(cell)
    word = cell.strip().casefold() if isinstance(cell, str) and plain else "?"
    if word not in YES | NO:
        raise InputError(column, f"{shown(cell)} is neither yes nor no", "Write 1 or 0 (in JSONL, true or false)")
    return word in YES


def _tags(cells: Mapping[str, Any], *, plain: bool) -> tuple[str, ...] | None:
    """The tags in the column ``tags`` or in those for one tag each, which alone are exact in CSV where a tag has a
    comma. Raises InputError if both are there and differ: nobody knows which of them was changed."""
    ticked = {name.removeprefix(TAG): _is(name, cells[name], plain=plain) for name in cells if name.startswith(TAG)}
    each = _clean(tag for tag, is_there in ticked.items() if is_there)
    if "tags" not in cells:
        return each if ticked else None
    cell = cells["tags"]
    if plain:
        listed = _clean(cell.split(","))
        same = " ".join(cell.lower().split()) == ", ".join(each) or listed == each
    else:
        if not isinstance(cell, list) or not all(isinstance(tag, str) for tag in cell):
            raise InputError("tags", f"{shown(cell)} is not a list of texts", 'Write ["one", "two"]')
        listed = _clean(cell)
        same = listed == each
    if ticked and not same:
        problem = f"it says {shown(', '.join(listed))}, and the columns {TAG}… say {shown(', '.join(each))}"
        raise InputError("tags", problem, f"Change both, or delete the columns {TAG}…")
    return each if ticked else listed


def _clean(tags: Iterable[str]) -> tuple[str, ...]:
    return clean_words("", tags, None, "", "")["tags"]


def _moment(cell: Any) -> datetime | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        moment = datetime.fromisoformat(cell.strip())
        return _MOMENT.validate_python(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (AttributeError, ValueError, ValidationError, OverflowError) as error:
        problem = f"{shown(cell)} is not a date and time"
        raise InputError(
            "updated", problem, "Write one such as 2026-11-30T09:15:00+00:00, or leave it empty"
        ) from error
