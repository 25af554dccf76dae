"""Labels: what people say about single vectors, and the tables in which they take it along."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.database import Database, LabelRow, TagRow

MAX_NAME, MAX_TAG, MAX_NOTE = 120, 40, 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Label(BaseModel):
    """What is said about the vector ``vector`` of the bank with the hash ``bank_hash``; ``updated`` None: nothing."""

    model_config = ConfigDict(frozen=True)

    bank: str
    bank_hash: str
    vector: int
    name: str = ""
    tags: tuple[str, ...] = ()
    rating: int | None = None  # 1 to 5
    note: str = ""
    updated: datetime | None = None


class Labels:
    """The labels in ``database``. Every method raises StorageError where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, bank: str, bank_hash: str, vector: int) -> Label:
        """The label of one vector; an empty one where nothing was said."""
        with self._database.read() as session:
            row = session.scalars(_of(bank_hash, vector)).first()
            return _label(row) if row else Label(bank=bank, bank_hash=bank_hash, vector=vector)

    def of_bank(self, bank_hash: str) -> dict[int, Label]:
        """The labels of one bank by vector; vectors without one are left out."""
        rows = select(LabelRow).where(LabelRow.bank_hash == bank_hash).order_by(LabelRow.vector)
        with self._database.read() as session:
            return {row.vector: _label(row) for row in session.scalars(rows)}

    def save(
        self, bank: str, bank_hash: str, vector: int, *, name: str, tags: Iterable[str], rating: int | None, note: str
    ) -> Label:
        """Keep a label in place of the earlier one, and return it as kept; with nothing in it, it is removed.

        Tags are trimmed, put into lower case, made unique and sorted. Raises InputError for a name, tag, rating or
        note that is too long or out of range.
        """
        if not 0 <= vector < 2**31:
            raise InputError("vector", f"there is no vector {vector}", "Vectors are counted from 0")
        if rating is not None and (type(rating) is not int or not 1 <= rating <= 5):
            raise InputError("rating", f"{rating!r} cannot be used", "It is a whole number from 1 to 5, or empty")
        name = " ".join(_clean(name).split())
        note = _clean(note).strip()
        words = sorted({word for tag in tags if (word := " ".join(_clean(tag).lower().split()))})
        if len(name) > MAX_NAME:
            raise InputError("name", f"it is {len(name)} characters long", f"At most {MAX_NAME} fit")
        if len(note) > MAX_NOTE:
            raise InputError("note", f"it is {len(note):,} characters long", f"At most {MAX_NOTE:,} fit")
        if long := [word for word in words if len(word) > MAX_TAG]:
            raise InputError(
                "tags", f"“{long[0][:MAX_TAG]}…” is {len(long[0])} characters long", f"At most {MAX_TAG} fit"
            )
        with self._database.write() as session:
            row = session.scalars(_of(bank_hash, vector)).first()
            if not (name or words or note or rating):
                if row:
                    session.delete(row)
                return Label(bank=bank, bank_hash=bank_hash, vector=vector)
            if row is None:
                row = LabelRow(bank_hash=bank_hash, vector=vector)
                session.add(row)
            row.bank, row.name, row.rating, row.note, row.updated = bank, name, rating, note, datetime.now(UTC)
            kept = {tag.tag: tag for tag in row.tags}
            row.tags = [kept.get(word) or TagRow(tag=word) for word in words]
            session.flush()
            return _label(row)

    def all(self) -> list[Label]:
        """Every label, by bank and vector."""
        rows = select(LabelRow).order_by(LabelRow.bank, LabelRow.bank_hash, LabelRow.vector)
        with self._database.read() as session:
            return [_label(row) for row in session.scalars(rows)]

    def tags(self) -> list[str]:
        """Every tag in use, in alphabetical order."""
        with self._database.read() as session:
            return list(session.scalars(select(TagRow.tag).distinct().order_by(TagRow.tag)))

    def export(self, out: Path, *, overwrite: bool = False) -> Path:
        """Write every label to ``out``, a ``.csv`` or ``.jsonl`` file in UTF-8, with one column ``tag:…`` per tag.

        Tags are 1 or 0 in CSV and true or false in JSONL. In CSV, a text that a spreadsheet would run as a formula
        (beginning with = + - @ or a tab) gets an apostrophe in front. Raises InputError for another ending, or where
        the file is there unless ``overwrite``; and StorageError.
        """
        ending = out.suffix.lower()
        if ending not in (".csv", ".jsonl"):
            raise InputError("file", f"labels cannot be written as “{out.name}”", "Its name must end in .csv or .jsonl")
        labels = self.all()
        tags = sorted({tag for label in labels for tag in label.tags})
        text = _csv(labels, tags) if ending == ".csv" else _jsonl(labels, tags)
        try:
            write_file(out, text.encode(), overwrite=overwrite)
        except FileExistsError as error:
            raise InputError(
                "file", f"“{out}” is there already", "Choose another name, or allow overwriting"
            ) from error
        return out


_COLUMNS = ("bank", "bank_hash", "vector", "name", "rating", "note", "updated")


def _of(bank_hash: str, vector: int) -> Any:
    return select(LabelRow).where(LabelRow.bank_hash == bank_hash, LabelRow.vector == vector)


def _label(row: LabelRow) -> Label:
    return Label(
        bank=row.bank,
        bank_hash=row.bank_hash,
        vector=row.vector,
        name=row.name,
        tags=tuple(sorted(tag.tag for tag in row.tags)),
        rating=row.rating,
        note=row.note,
        updated=row.updated,
    )


def _clean(text: str) -> str:
    """``text`` without what a database or a file cannot hold: zero characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _facts(label: Label) -> dict[str, Any]:
    return label.model_dump(mode="json", include=set(_COLUMNS))


def _csv(labels: list[Label], tags: list[str]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([*_COLUMNS, *(f"tag:{tag}" for tag in tags)])
    for label in labels:
        facts = _facts(label)
        writer.writerow([_cell(facts[column]) for column in _COLUMNS] + [int(tag in label.tags) for tag in tags])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _jsonl(labels: list[Label], tags: list[str]) -> str:
    lines = []
    for label in labels:
        facts = _facts(label)
        line = {column: facts[column] for column in _COLUMNS} | {f"tag:{tag}": tag in label.tags for tag in tags}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)
