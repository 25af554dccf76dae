"""Daily copies of the database: the last seven are kept, and each is checked before it replaces another."""

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
from melbo_app.library.atomic import refused, sync_file, sync_folder
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # the database imports this module, to name its copies when it is damaged
    from melbo_app.library.database import Database

KEPT = 7
RESTORE = "python -m melbo_app library restore"
ROOM = 100_000_000
"""Bytes that a copy leaves free on the disk, for labels and texts written meanwhile."""
STALE = 3600.0  # seconds after which a half-written copy belongs to a program that was killed


@dataclass(frozen=True)
class Copy:
    """One copy: its file and its day (YYYY-MM-DD)."""

    path: Path
    day: str

    @property
    def faults(self) -> tuple[str, ...]:
        """Its faults in SQLite's words; empty if it is sound."""
        try:
            status = self.path.stat()
            return _faults(self.path, status.st_mtime_ns, status.st_size)
        except OSError as error:
            return (error.strerror or str(error),)
        except StorageError as error:
            return (str(error),)


class Backups:
    """The copies of a database file in ``folder``; ``database`` is None for a database server, which has no copies."""

    def __init__(self, database: Path | None, folder: Path) -> None:
        self._path, self.folder = database, folder

    def copies(self) -> list[Copy]:
        """All copies, newest first."""
        if self._path is None:
            return []
        stem = f"{self._path.stem}-"
        found = self.folder.glob(f"{stem}????-??-??.sqlite")
        return sorted((Copy(path, path.stem.removeprefix(stem)) for path in found), key=lambda copy: copy.day)[::-1]

    def newest_sound(self) -> Copy | None:
        """The newest copy without faults."""
        return next((copy for copy in self.copies() if not copy.faults), None)

    def find(self, wanted: str) -> Copy:
        """The copy of this day, file name or path. Raises InputError if there is none."""
        for copy in self.copies():
            if wanted in (copy.day, copy.path.name, str(copy.path)):
                return copy
        days = ", ".join(copy.day for copy in self.copies())
        remedy = f"Choose one of {days}" if days else f"“{self.folder}” holds no copies yet"
        raise InputError("copy", f"“{wanted[:80]}” does not exist", remedy)

    @property
    def advice(self) -> str:
        """What to do if the database is damaged."""
        copy = self.newest_sound()
        there = f"restores the copy of {copy.day}" if copy else "begins a new database, since no copy exists,"
        return f"Stop the server and run: {RESTORE}. It {there} and saves the newer labels that can still be read."

    def make(self, database: "Database") -> Copy | None:
        """Copy ``database`` if it changed since the newest copy; returns None if it did not.

        Replaces a copy of the same day and keeps the last seven days. The copy is a snapshot; reading and writing go on
        meanwhile. Raises StorageError, which leaves all other copies unchanged.
        """
        path = self._path
        if path is None or not path.exists():
            return None
        newest = next(iter(self.copies()), None)
        begin = time.time_ns()
        with refused(f"“{self.folder}” cannot be written to"):
            written = [one for one in sqlite.files_of(path) if not one.name.endswith("-shm")]
            last_change = max(one.stat().st_mtime_ns for one in written)
            if newest is not None and last_change < newest.path.stat().st_mtime_ns:
                return None
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._check_room(path)
        part = self.folder / f".{secrets.token_hex(8)}.part"
        copy = Copy(self.folder / f"{path.stem}-{datetime.now():%Y-%m-%d}.sqlite", f"{datetime.now():%Y-%m-%d}")
        try:
            with refused(f"“{copy.path}” could not be written"):
                database.copy(part)
                if found := sqlite.faults_of(part):
                    raise StorageError(f"“{path}” may be damaged: its copy has faults ({found[0]}).")
                if newest is not None and filecmp.cmp(part, newest.path, shallow=False):
                    os.utime(newest.path, ns=(begin, begin))
                    return None
                sync_file(part)
                os.utime(part, ns=(begin, begin))  # anything written after this is not in the copy
                os.replace(part, copy.path)
                sync_folder(self.folder)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._thin_out()
        return copy

    def _check_room(self, path: Path) -> None:
        need = sum(one.stat().st_size for one in sqlite.files_of(path)) + ROOM
        if (free := shutil.disk_usage(self.folder).free) < need:
            raise StorageError(f"A copy needs {size_text(need)} in “{self.folder}”, and {size_text(free)} are free.")

    def _clear(self) -> None:
        """Remove the leftovers of programs that were killed while copying."""
        for part in self.folder.glob(".*.part*"):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > STALE:
                    part.unlink()

    def _thin_out(self) -> None:
        """Remove the oldest copies, but never the one with the most labels: if the database was lost, a week of copies
        of its successor must not push out the old labels. A label's history only grows."""
        copies = self.copies()
        if len(copies) <= KEPT:
            return
        said = {copy: sqlite.count_of(copy.path, "label_history") for copy in copies}
        fullest = max(copies, key=lambda copy: said[copy])  # the newest, if several tie
        for copy in copies[KEPT:]:
            if copy != fullest:
                with suppress(OSError):  # the next one tries again
                    copy.path.unlink(missing_ok=True)


@lru_cache(maxsize=32)
def _faults(path: Path, changed: int, size: int) -> tuple[str, ...]:
    return tuple(sqlite.faults_of(path))
