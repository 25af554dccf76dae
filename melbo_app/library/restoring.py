"""Going back to a copy of the database: what was there is kept beside it, and labels that came later are saved."""

import os
import secrets
import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from melbo_app.errors import InputError, StorageError
from melbo_app.library import sqlite
from melbo_app.library.atomic import sync_folder
from melbo_app.library.backups import RESTORE, Copy
from melbo_app.library.database import Database
from melbo_app.library.labels import Labels
from melbo_app.library.salvage import Salvaged, salvage


@dataclass(frozen=True)
class Restored:
    """What came of it. ``copy`` is the day of the copy (None: there was none, and a new database was begun), ``aside``
    where the file is that was there, ``labels`` how many versions of labels came from that one, and ``whole`` whether
    these are all that were in it. ``whole`` None: it was sound, and nothing was taken from it."""

    copy: str | None
    aside: str | None
    labels: int
    whole: bool | None

    def lines(self) -> list[str]:
        """The same for people."""
        begun = f"The database is that of {self.copy} again" if self.copy else "A new database was begun"
        lines = [f"{begun}. Texts that were made since are not in it."] if self.copy else [f"{begun}."]
        if self.whole is not None:
            many = "one label was" if self.labels == 1 else f"{self.labels or 'no'} labels were"
            rest = "" if self.whole else "; others may be lost with the damaged parts"
            lines.append(f"Of what was saved later, {many} read from the damaged file and kept{rest}.")
        elif self.aside:
            lines.append("What was said and made since is in the file that was set aside, which was sound.")
        if self.aside:
            lines.append(f"The file that was there is “{self.aside}” now.")
        return lines


def check_is_file(database: Database) -> Path:
    """Where the database is. Raises InputError for one on a server."""
    if database.path is None:
        problem = f"it is on a server ({database.place}), of which no copies are made here"
        raise InputError("database", problem, "Restore it from that server's own backups")
    return database.path


def restore(database: Database, wanted: str | None) -> Restored:
    """Put a copy in the place of the database: ``wanted`` (its day, file name or path), or the newest sound one.

    Labels that can still be read in a damaged database and are not in the copy are put into it. Nobody else may use
    the database meanwhile.

    Raises:
        InputError: no such copy, a damaged one, a sound database and no copy named, or a database on a server.
        StorageError: the disk refuses; everything is as it was.
    """
    path = check_is_file(database)
    copy = database.backups.find(wanted) if wanted is not None else database.backups.newest_sound()
    if copy is not None and copy.faults:
        raise InputError("copy", f"that of {copy.day} is damaged ({copy.faults[0]})", "Choose another one")
    there = path.exists()
    sound = there and not sqlite.faults_of(path)
    if sound and wanted is None:
        problem = "the database is sound, and what came after the copy would be missing"
        days = ", ".join(one.day for one in database.backups.copies()) or "there is none yet"
        raise InputError("copy", problem, f"To go back all the same, name one ({days}): {RESTORE} DAY")
    database.close()
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept, found = _prepare(part, path if there and not sound else None, copy)
        aside = _exchange(part, path, "replaced" if sound else "damaged")
    except OSError as error:
        raise StorageError(f"“{path}” could not be restored ({error.strerror or error}); it is as it was.") from error
    finally:
        for file in sqlite.files_of(part):
            with suppress(OSError):
                file.unlink()
    whole = found.whole if found else None
    return Restored(copy.day if copy else None, None if aside is None else str(aside), kept, whole)


def _prepare(part: Path, damaged: Path | None, copy: Copy | None) -> tuple[int, Salvaged | None]:
    """Make the database in ``part``: the copy, and what can be read of a damaged one; how many versions these are."""
    if copy is not None:
        shutil.copyfile(copy.path, part)
    made = Database(part)
    try:
        last = _last_version(made)
        found = salvage(damaged, last) if damaged is not None else None
        kept = Labels(made).replay(found.versions) if found else 0
    finally:
        made.close()
    if faults := sqlite.faults_of(part):
        raise StorageError(f"What was put together is not sound ({faults[0]}); the database is as it was.")
    with open(part, "rb+") as stream:
        os.fsync(stream.fileno())
    return kept, found


def _last_version(database: Database) -> int:
    """The number of the last version of a label; the tables are made, or brought to the newest format, by asking."""
    with database.read() as session:
        session.connection()
    if database.path is None:
        return 0
    with closing(sqlite.open_to_read(database.path)) as connection:
        return connection.execute("SELECT max(id) FROM label_history").fetchone()[0] or 0


def _exchange(part: Path, path: Path, why: str) -> Path | None:
    """Set aside what is at ``path`` with its log, and give ``part`` that name. Where it is now; None: nothing was."""
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
