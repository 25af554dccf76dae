"""Reads the labels of a damaged database row by row, so that a damaged page loses only its own rows."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from melbo_app.errors import InputError
from melbo_app.library import sqlite
from melbo_app.library.label import LabelVersion
from melbo_app.library.label_merging import clean
from melbo_app.library.label_queries import COLUMNS

BEYOND = 10_000
"""Numbers to try after the copy's last one, if the file cannot give its own last number."""


@dataclass(frozen=True)
class Salvaged:
    """Versions of labels in the order in which they were saved, and whether all could be read."""

    versions: tuple[LabelVersion, ...]
    whole: bool


def salvage(path: Path, last_known: int) -> Salvaged:
    """The readable labels and their history in the file ``path``, which is not changed. ``last_known`` is the number of
    the last version in a copy. Damage inside a text goes unnoticed: SQLite has no checksums."""
    try:
        with closing(sqlite.open_to_read(path)) as connection:
            connection.execute("PRAGMA writable_schema=ON")  # so that one damaged table does not block the others
            said = _Rows(connection, "label_history", last_known)
            now = _Rows(connection, "labels", last_known)
            versions = [one for row in said if (one := _version(row, _tags(row["tags"]), row["author"]))]
            known = {(one.whose, one.updated) for one in versions}
            for row in now:  # a label may survive the loss of its history
                one = _version(row, _tags_of(connection, row["id"]), "")
                if one is not None and (one.whose, one.updated) not in known:
                    versions.append(one)
    except sqlite3.Error:
        return Salvaged((), whole=False)
    return Salvaged(tuple(versions), whole=said.whole and now.whole)


class _Rows:
    """The readable rows of a table, by number; afterwards ``whole`` says whether all could be read."""

    def __init__(self, connection: sqlite3.Connection, table: str, last_known: int) -> None:
        self._connection, self._table, self.whole = connection, table, True
        try:
            self._last = connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0
        except sqlite3.Error:
            self._last, self.whole = last_known + BEYOND, False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._between(1, self._last)

    def _between(self, first: int, last: int) -> Iterator[dict[str, Any]]:
        """Halves an unreadable range until it is a single row."""
        if first > last:
            return
        try:
            wanted = f"SELECT * FROM {self._table} WHERE id BETWEEN ? AND ? ORDER BY id"
            cursor = self._connection.execute(wanted, (first, last))
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        except (sqlite3.Error, UnicodeDecodeError, OverflowError):
            self.whole = False
            if first < last:
                middle = (first + last) // 2
                yield from self._between(first, middle)
                yield from self._between(middle + 1, last)
            return
        yield from rows


def _version(row: dict[str, Any], tags: tuple[str, ...], author: Any) -> LabelVersion | None:
    """The row as a version of a label; None if it is invalid."""
    try:
        moment = datetime.fromisoformat(row["updated"]).replace(tzinfo=UTC)
        whose = {"annotator": row.get("annotator", ""), "settled": bool(row.get("settled"))}  # not in older files
        facts = {name: row[name] for name in COLUMNS} | whose | {"updated": moment, "tags": tags, "author": author}
        return clean(LabelVersion.model_validate(facts))
    except (ValidationError, InputError, KeyError, TypeError, ValueError):
        return None


def _tags(kept: Any) -> tuple[str, ...]:
    try:
        found = json.loads(kept)
    except (TypeError, ValueError):
        return ()
    return tuple(found) if isinstance(found, list) and all(isinstance(one, str) for one in found) else ()


def _tags_of(connection: sqlite3.Connection, label: Any) -> tuple[str, ...]:
    try:
        return tuple(tag for (tag,) in connection.execute("SELECT tag FROM tags WHERE label_id = ?", (label,)))
    except (sqlite3.Error, UnicodeDecodeError):
        return ()
