"""Restoring a copy of the database: the old file is kept beside it, and its newer labels are saved."""

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from melbo_app.errors import InputError, StorageError
from melbo_app.library import sqlite
from melbo_app.library.atomic import sync_file, sync_folder
from melbo_app.library.backups import RESTORE, Copy
from melbo_app.library.database import Database
from melbo_app.library.label_merging import replay
from melbo_app.library.salvage import Salvaged, salvage
from melbo_app.library.tables import LabelVersionRow


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    ``copy`` is the day of the copy (None: without a copy, a new database was begun), ``aside`` the new place of the old
    file, ``labels`` the number of label versions saved from it, and ``whole`` whether those are all it had (None: it
    was sound, and nothing was taken from it).
    """

    copy: str | None
    aside: str | None
    labels: int
    whole: bool | None

    def lines(self) -> list[str]:
        """The same for people."""
        since = f"The database of {self.copy} was restored. It does not contain texts made since then."
        lines = [since if self.copy else "A new database was begun."]
        if self.whole is not None:
            many = "1 newer label was" if self.labels == 1 else f"{self.labels or 'No'} newer labels were"
            rest = "" if self.whole else "; others may be lost with the damaged parts"
            lines.append(f"{many} saved from the damaged file{rest}.")
        elif self.aside:
            lines.append("Newer labels and texts are in the old file, which was sound.")
        if self.aside:
            lines.append(f"The old file is now “{self.aside}”.")
        return lines


def check_is_file(database: Database) -> Path:
    """The file of the database. Raises InputError for one on a server."""
    if database.path is None:
        problem = f"it is on a server ({database.place}), which MELBO Explorer does not copy"
        raise InputError("database", problem, "Restore it from that server's own backups")
    return database.path


def restore(database: Database, wanted: str | None) -> Restored:
    """Replace the database by the copy ``wanted`` (its day, file name or path), or by the newest sound one.

    Labels that can still be read in a damaged database and are missing from the copy are added. Nobody else may use the
    database meanwhile.

    Raises:
        InputError: an unknown or damaged copy, a sound database without a named copy, or a database on a server.
        StorageError: the disk refuses; nothing has changed.
    """
    path = check_is_file(database)
    copy = database.backups.find(wanted) if wanted is not None else database.backups.newest_sound()
    if copy is not None and copy.faults:
        raise InputError("copy", f"the copy of {copy.day} is damaged ({copy.faults[0]})", "Choose another one")
    there = path.exists()
    sound = there and not sqlite.faults_of(path)
    if sound and wanted is None:
        problem = "the database is sound, and a copy lacks everything newer"
        days = ", ".join(one.day for one in database.backups.copies()) or "none exists yet"
        raise InputError("copy", problem, f"To restore a copy all the same, name it ({days}): {RESTORE} DAY")
    database.close()
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept, found = _prepare(part, path if there and not sound else None, copy)
        aside = _exchange(part, path, "replaced" if sound else "damaged")
    except OSError as error:
        raise StorageError(f"“{path}” could not be restored ({error.strerror or error}); nothing changed.") from error
    finally:
        for file in sqlite.files_of(part):
            with suppress(OSError):
                file.unlink()
    whole = found.whole if found else None
    return Restored(copy.day if copy else None, None if aside is None else str(aside), kept, whole)


def _prepare(part: Path, damaged: Path | None, copy: Copy | None) -> tuple[int, Salvaged | None]:
    """Make the database ``part`` from the copy and the labels in a damaged file; returns their number."""
    if copy is not None:
        shutil.copyfile(copy.path, part)
    made = Database(part)
    try:
        with made.read() as session:
            last = session.scalar(select(func.max(LabelVersionRow.id))) or 0
        found = salvage(damaged, last) if damaged is not None else None
        kept = 0
        if found is not None:
            with made.write() as session:
                kept = replay(session, found.versions)
    finally:
        made.close()
    if faults := sqlite.faults_of(part):
        raise StorageError(f"The restored database has faults ({faults[0]}); nothing changed.")
    sync_file(part)
    return kept, found


def _exchange(part: Path, path: Path, why: str) -> Path | None:
    """Rename the file at ``path`` and its log, and give ``part`` the name ``path``; returns the old file's new path."""
    old = sqlite.files_of(path)
    aside = path.with_name(f"{path.stem}-{why}-{datetime.now():%Y%m%d-%H%M%S}{path.suffix}")
    moved: list[tuple[Path, Path]] = []
    try:
        for file in old:
            to = aside.with_name(aside.name + file.name.removeprefix(path.name))
            if to.exists():
                raise FileExistsError(0, "another restore in the same second", str(to))
            file.rename(to)
            moved.append((file, to))
        os.replace(part, path)
    except OSError:
        for file, to in moved:
            to.rename(file)
        raise
    sync_folder(path.parent)
    return aside if old else None
