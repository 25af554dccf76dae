"""Damaged records: each is named and left out, and the rest of its list is still read."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from melbo_app.errors import MelboError, StorageError

Row = TypeVar("Row")
Kept = TypeVar("Kept")

# Pydantic puts its names for the branches of a union among the names of the fields.
_BRANCH = re.compile(r"[^\w ]|^(int|float|str|bool|none|list|tuple|dict)$")


@dataclass(frozen=True)
class Damage:
    """A damaged record, such as “comparison 12”, and what is wrong with it."""

    subject: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


class Listed(list[Kept]):
    """The readable part of a list; ``damaged`` is the rest."""

    def __init__(self, entries: Iterable[Kept] = (), damaged: Iterable[Damage] = ()) -> None:
        super().__init__(entries)
        self.damaged = tuple(damaged)


def read_each(rows: Iterable[Row], read: Callable[[Row], Kept], subject: Callable[[Row], str]) -> Listed[Kept]:
    """``read(row)`` for every row; rows for which it fails go into ``damaged``, under the name ``subject(row)``. Raises
    StorageError if the database refuses."""
    entries, damaged = [], []
    for row in rows:
        try:
            entries.append(read(row))
        except (StorageError, DBAPIError):
            raise
        except Exception as error:  # a damaged row may raise anything
            damaged.append(Damage(subject(row), fault(error)))
    return Listed(entries, damaged)


def read_one(row: Row, read: Callable[[Row], Kept], subject: str) -> Kept:
    """``read(row)``. Raises StorageError if the row is damaged."""
    found = read_each([row], read, lambda _: subject)
    if found.damaged:
        raise StorageError(f"{found.damaged[0]}. Every list leaves it out.")
    return found[0]


def fault(error: Exception) -> str:
    """The problem behind an error raised during reading: the field, and what it should be."""
    if isinstance(error, MelboError):
        return str(error).rstrip(".")
    if not isinstance(error, ValidationError):
        return "it is damaged"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    what = first["msg"].removeprefix("Value error, ")[:200]
    where = _place(first["loc"])
    return f"{where}: {what[:1].lower()}{what[1:]}" if where else f"{what[:1].lower()}{what[1:]}"


def _place(parts: tuple[int | str, ...]) -> str:
    """The field's name, such as “settings.radii[0]”."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not _BRANCH.search(part):
            text += f".{part[:60]}" if text else part[:60]
    return text
