"""Labels: what people say about single vectors, and the tables in which they take it along."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.database import Database
from melbo_app.library.spreadsheet import csv_bytes
from melbo_app.library.tables import LabelRow, LabelVersionRow, TagRow

MAX_NAME, MAX_TAG, MAX_NOTE, MAX_AUTHOR = 120, 40, 10_000, 80


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


class LabelVersion(Label):
    """A label as it was saved once, by ``author`` (empty: not known). One with nothing in it says it was removed."""

    bank: Annotated[str, Field(max_length=200)]
    bank_hash: Annotated[str, Field(max_length=64)]
    updated: AwareDatetime
    author: str = ""


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

    def history(self, bank_hash: str, vector: int) -> list[LabelVersion]:
        """What was ever said about one vector, newest first; the first is the label of today."""
        versions = (
            select(LabelVersionRow)
            .where(LabelVersionRow.bank_hash == bank_hash, LabelVersionRow.vector == vector)
            .order_by(LabelVersionRow.id.desc())
        )
        with self._database.read() as session:
            return [_version(row) for row in session.scalars(versions)]

    def versions(self, bank_hashes: Collection[str] | None = None) -> list[LabelVersion]:
        """Everything that was ever said about any vector, or about those of these banks, the oldest first."""
        versions = select(LabelVersionRow).order_by(LabelVersionRow.id)
        if bank_hashes is not None:
            versions = versions.where(LabelVersionRow.bank_hash.in_(bank_hashes))
        with self._database.read() as session:
            return [_version(row) for row in session.scalars(versions)]

    def merge(self, versions: Sequence[LabelVersion]) -> tuple[int, list[tuple[str, int]]]:
        """Take in what was said in another library: how many versions are new here, and the vectors (bank, number)
        that both sides had labelled otherwise.

        Of two labels the one that was saved last counts, and one that says something before one that was removed; the
        others are in the history. Raises InputError for a label that cannot be kept.
        """
        groups: dict[tuple[str, int], list[LabelVersion]] = {}
        for version in map(checked, versions):
            groups.setdefault((version.bank_hash, version.vector), []).append(version)
        added, differing = 0, []
        with self._database.write() as session:
            for (bank_hash, vector), brought in groups.items():
                rows = session.scalars(
                    select(LabelVersionRow)
                    .where(LabelVersionRow.bank_hash == bank_hash, LabelVersionRow.vector == vector)
                    .order_by(LabelVersionRow.id)
                )
                own = [_version(row) for row in rows]
                known = {(_said(one), one.updated) for one in own}
                new = [one for one in brought if (_said(one), one.updated) not in known]
                if not new:
                    continue
                ends = [own[-1], brought[-1]] if own else [brought[-1]]
                best = max(ends, key=lambda one: (any(_said(one)), one.updated))
                if all(any(_said(one)) for one in ends) and len({_said(one) for one in ends}) == 2:
                    differing.append((best.bank, vector))
                if best is not new[-1]:  # the newest of the history is the label
                    new.append(best)
                for one in new:
                    _remember(session, one)
                _replace(session, session.scalars(_of(bank_hash, vector)).first(), best)
                added += len([one for one in new if (_said(one), one.updated) not in known])
        return added, differing

    def replay(self, versions: Sequence[LabelVersion]) -> int:
        """Say again what was said in this library and is not known to it any more, in the order in which it was said;
        how many of the ``versions`` were that."""
        added = 0
        with self._database.write() as session:
            for version in map(checked, versions):
                same = select(LabelVersionRow).where(
                    LabelVersionRow.bank_hash == version.bank_hash, LabelVersionRow.vector == version.vector
                )
                known = {(_said(one), one.updated) for one in map(_version, session.scalars(same))}
                if (_said(version), version.updated) in known:
                    continue
                _remember(session, version)
                _replace(session, session.scalars(_of(version.bank_hash, version.vector)).first(), version)
                added += 1
        return added

    def save(
        self,
        bank: str,
        bank_hash: str,
        vector: int,
        *,
        name: str,
        tags: Iterable[str],
        rating: int | None,
        note: str,
        author: str = "",
    ) -> Label:
        """Keep a label, and return it as kept; with nothing in it, it is removed. Earlier ones stay in the history.

        Tags are trimmed, put into lower case, made unique and sorted. Raises InputError for a name, tag, rating or
        note that is too long or out of range.
        """
        _check_rating(rating)
        wanted = checked(
            LabelVersion(
                bank=bank, bank_hash=bank_hash, vector=vector, name=name, tags=tuple(tags), rating=rating, note=note,
                updated=datetime.now(UTC), author=author,
            )
        )  # fmt: skip
        with self._database.write() as session:
            row = session.scalars(_of(bank_hash, vector)).first()
            before = _label(row) if row else Label(bank=bank, bank_hash=bank_hash, vector=vector)
            if _said(wanted) != _said(before):
                _remember(session, wanted)
            return _replace(session, row, wanted)

    def all(self) -> list[Label]:
        """Every label, by bank and vector."""
        return self.search()

    def search(
        self, text: str = "", *, tag: str | None = None, rating: int | None = None, limit: int | None = None
    ) -> list[Label]:
        """The labels with ``text`` in their name, note, tags or bank, in any case, and of which the rest is true; by
        bank and vector. ``rating`` is the least that counts."""
        # tags come joined, and rows without objects around them: there may be tens of thousands
        own = TagRow.label_id == LabelRow.id
        tags = select(func.aggregate_strings(TagRow.tag, "\n")).where(own).correlate(LabelRow).scalar_subquery()
        facts = [getattr(LabelRow, column) for column in _COLUMNS]
        wanted = select(tags, *facts).order_by(LabelRow.bank, LabelRow.bank_hash, LabelRow.vector).limit(limit)
        if text:
            parts = [part.icontains(text, autoescape=True) for part in (LabelRow.name, LabelRow.note, LabelRow.bank)]
            tagged = select(TagRow.label_id).where(TagRow.tag.icontains(text, autoescape=True))
            wanted = wanted.where(or_(*parts, LabelRow.id.in_(tagged)))
        if tag is not None:
            wanted = wanted.where(LabelRow.id.in_(select(TagRow.label_id).where(TagRow.tag == tag)))
        if rating is not None:
            wanted = wanted.where(LabelRow.rating >= rating)
        with self._database.read() as session:
            return [
                Label(
                    tags=tuple(sorted(joined.split("\n"))) if joined else (), **dict(zip(_COLUMNS, facts, strict=True))
                )
                for joined, *facts in session.connection().execute(wanted)
            ]

    def tags(self) -> list[str]:
        """Every tag in use, in alphabetical order."""
        with self._database.read() as session:
            return list(session.scalars(select(TagRow.tag).distinct().order_by(TagRow.tag)))

    def export(self, out: Path, *, overwrite: bool = False) -> Path:
        """Write every label to ``out``, a ``.csv`` or ``.jsonl`` file in UTF-8, with one column ``tag:…`` per tag.

        Tags are 1 or 0 in CSV and true or false in JSONL. Raises InputError for another ending, or where the file is
        there unless ``overwrite``; and StorageError.
        """
        ending = out.suffix.lower()
        if ending not in (".csv", ".jsonl"):
            raise InputError("file", f"labels cannot be written as “{out.name}”", "Its name must end in .csv or .jsonl")
        labels = self.all()
        tags = sorted({tag for label in labels for tag in label.tags})
        data = _csv(labels, tags) if ending == ".csv" else _jsonl(labels, tags)
        try:
            write_file(out, data, overwrite=overwrite)
        except FileExistsError as error:
            raise InputError(
                "file", f"“{out}” is there already", "Choose another name, or allow overwriting"
            ) from error
        return out


_COLUMNS = ("bank", "bank_hash", "vector", "name", "rating", "note", "updated")


def _of(bank_hash: str, vector: int) -> Any:
    return select(LabelRow).where(LabelRow.bank_hash == bank_hash, LabelRow.vector == vector)


def _said(label: Label) -> tuple[Any, ...]:
    return label.name, label.tags, label.rating, label.note


def checked(version: LabelVersion) -> LabelVersion:
    """The same as it is kept. Raises InputError for what is too long or out of range."""
    name = " ".join(_clean(version.name).split())
    note = _clean(version.note).strip()
    words = sorted({word for tag in version.tags if (word := " ".join(_clean(tag).lower().split()))})
    if not 0 <= version.vector < 2**31:
        raise InputError("vector", f"there is no vector {version.vector}", "Vectors are counted from 0")
    _check_rating(version.rating)
    if len(name) > MAX_NAME:
        raise InputError("name", f"it is {len(name)} characters long", f"At most {MAX_NAME} fit")
    if len(note) > MAX_NOTE:
        raise InputError("note", f"it is {len(note):,} characters long", f"At most {MAX_NOTE:,} fit")
    if long := [word for word in words if len(word) > MAX_TAG]:
        raise InputError("tags", f"“{long[0][:MAX_TAG]}…” is {len(long[0])} characters long", f"At most {MAX_TAG} fit")
    author = _clean(version.author)[:MAX_AUTHOR]
    return version.model_copy(update={"name": name, "note": note, "tags": tuple(words), "author": author})


def _check_rating(rating: int | None) -> None:
    if rating is not None and (type(rating) is not int or not 1 <= rating <= 5):
        raise InputError("rating", f"{rating!r} cannot be used", "It is a whole number from 1 to 5, or empty")


def _remember(session: Session, version: LabelVersion) -> None:
    session.add(LabelVersionRow(**version.model_dump() | {"tags": list(version.tags)}))
    session.flush()  # one after the other: their numbers say which came last


def _replace(session: Session, row: LabelRow | None, wanted: LabelVersion) -> Label:
    """Put ``wanted`` in place of the row; the label as it is kept."""
    if not any(_said(wanted)):
        if row:
            session.delete(row)
        return Label(bank=wanted.bank, bank_hash=wanted.bank_hash, vector=wanted.vector)
    if row is None:
        row = LabelRow(bank_hash=wanted.bank_hash, vector=wanted.vector)
        session.add(row)
    for column in ("bank", "name", "rating", "note", "updated"):
        setattr(row, column, getattr(wanted, column))
    kept = {tag.tag: tag for tag in row.tags}
    row.tags = [kept.get(word) or TagRow(tag=word) for word in wanted.tags]
    session.flush()
    return _label(row)


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


def _version(row: LabelVersionRow) -> LabelVersion:
    return LabelVersion(tags=tuple(row.tags), **{field: getattr(row, field) for field in (*_COLUMNS, "author")})


def _clean(text: str) -> str:
    """``text`` without what a database or a file cannot hold: zero characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _facts(label: Label) -> dict[str, Any]:
    return label.model_dump(mode="json", include=set(_COLUMNS))


def _csv(labels: list[Label], tags: list[str]) -> bytes:
    rows: list[list[Any]] = [[*_COLUMNS, *(f"tag:{tag}" for tag in tags)]]
    for label in labels:
        facts = _facts(label)
        rows.append([*(facts[column] for column in _COLUMNS), *(int(tag in label.tags) for tag in tags)])
    return csv_bytes(rows)


def _jsonl(labels: list[Label], tags: list[str]) -> bytes:
    lines = []
    for label in labels:
        facts = _facts(label)
        line = {column: facts[column] for column in _COLUMNS} | {f"tag:{tag}": tag in label.tags for tag in tags}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines).encode()
