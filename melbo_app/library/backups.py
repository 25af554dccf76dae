"""Copies of the database: one a day, seven of them, each checked before it takes the place of anything."""

import filecmp
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from melbo_app.errors import InputError, StorageError
from melbo_app.library import sqlite
from melbo_app.library.atomic import sync_folder
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # the database names its copies where it is damaged
    from melbo_app.library.database import Database

KEPT = 7
RESTORE = "python -m melbo_app library restore"
ROOM = 100_000_000
"""Bytes that a copy leaves free on the disk: labels and texts that are written meanwhile need some."""
STALE = 3600.0  # seconds after which a half-written copy belongs to a program that was killed


@dataclass(frozen=True)
class Copy:
    """One copy: its file, and its day as YYYY-MM-DD."""

    path: Path
    day: str

    @property
    def faults(self) -> tuple[str, ...]:
        """What is broken in it, in SQLite's words; empty where nothing is."""
        try:
            status = self.path.stat()
        except OSError as error:
            return (error.strerror or str(error),)
        try:
            return _faults(self.path, status.st_mtime_ns, status.st_size)
        except StorageError as error:
            return (str(error),)


class Backups:
    """The copies in ``folder`` of the file of a database; ``database`` None: of one on a server, which has none."""

    def __init__(self, database: Path | None, folder: Path) -> None:
        self._path, self.folder = database, folder

    def copies(self) -> list[Copy]:
        """Those there are, the newest first."""
        if self._path is None:
            return []
        stem = f"{self._path.stem}-"
        found = self.folder.glob(f"{stem}????-??-??.sqlite")
        return sorted((Copy(path, path.stem.removeprefix(stem)) for path in found), key=lambda copy: copy.day)[::-1]

    def newest_sound(self) -> Copy | None:
        """The newest one in which nothing is broken."""
        return next((copy for copy in self.copies() if not copy.faults), None)

    def find(self, wanted: str) -> Copy:
        """The copy of that day, or in the file of that name or path. Raises InputError for an unknown one."""
        for copy in self.copies():
            if wanted in (copy.day, copy.path.name, str(copy.path)):
                return copy
        days = ", ".join(copy.day for copy in self.copies())
        remedy = f"There are those of {days}" if days else f"None was made yet in “{self.folder}”"
        raise InputError("copy", f"there is none called “{wanted[:80]}”", remedy)

    @property
    def advice(self) -> str:
        """What to do where the database is damaged."""
        copy = self.newest_sound()
        there = f"goes back to the copy of {copy.day}" if copy else "begins a new one, as there is no copy of it,"
        return f"Stop the server and run: {RESTORE}. It {there} and saves the newer labels that can still be read."

    def make(self, database: "Database") -> Copy | None:
        """Copy the ``database`` where it changed since the newest copy; None where there is nothing to copy.

        A copy of the same day is replaced, and of those before seven days remain. It is the database as it was at one
        moment; reading and writing go on. Raises StorageError; all other copies are then as they were.
        """
        path = self._path
        if path is None or not path.exists():
            return None
        newest = next(iter(self.copies()), None)
        begin = time.time_ns()
        try:
            if newest is not None and _last_change(path) < newest.path.stat().st_mtime_ns:
                return None
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._check_room(path)
        except OSError as error:
            raise StorageError(f"“{self.folder}” cannot be written to ({error.strerror or error}).") from error
        part = self.folder / f".{secrets.token_hex(8)}.part"
        copy = Copy(self.folder / f"{path.stem}-{datetime.now():%Y-%m-%d}.sqlite", f"{datetime.now():%Y-%m-%d}")
        try:
            database.copy(part)
            if found := sqlite.faults_of(part):
                raise StorageError(f"“{path}” may be damaged: a copy of it is not sound ({found[0]}).")
            if newest is not None and filecmp.cmp(part, newest.path, shallow=False):
                os.utime(newest.path, ns=(begin, begin))
                return None
            with open(part, "rb+") as stream:
                os.fsync(stream.fileno())
            os.utime(part, ns=(begin, begin))  # what is written from now on is not in it
            os.replace(part, copy.path)
            sync_folder(self.folder)
        except OSError as error:
            raise StorageError(f"“{copy.path}” could not be written ({error.strerror or error}).") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._thin_out()
        return copy

    def _check_room(self, path: Path) -> None:
        need = sum(one.stat().st_size for one in sqlite.files_of(path)) + ROOM
        if (free := shutil.disk_usage(self.folder).free) < need:
            raise StorageError(
                f"It needs {size_text(need)} of free room in “{self.folder}”, and {size_text(free)} are free."
            )

    def _clear(self) -> None:
        """Remove what a program left behind that was killed while it copied."""
        for part in self.folder.glob(".*.part*"):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > STALE:
                    part.unlink()

    def _thin_out(self) -> None:
        """Remove the oldest copies, but never the one with the most labels: where the database was lost and a new one
        begun, seven days of that do not push out what was written before. A label's history only ever grows."""
        copies = self.copies()
        if len(copies) <= KEPT:
            return
        said = {copy: sqlite.count_of(copy.path, "label_history") for copy in copies}
        fullest = max(copies, key=lambda copy: said[copy])  # of several, the newest
        for copy in copies[KEPT:]:
            if copy != fullest:
                with suppress(OSError):  # the next one tries again
                    copy.path.unlink(missing_ok=True)


def _last_change(path: Path) -> int:
    return max(one.stat().st_mtime_ns for one in sqlite.files_of(path) if not one.name.endswith("-shm"))


@lru_cache(maxsize=32)
def _faults(path: Path, changed: int, size: int) -> tuple[str, ...]:
    return tuple(sqlite.faults_of(path))
