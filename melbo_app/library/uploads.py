"""Uploaded files: quotas on unused ones, their owners, and their removal.

Gradio writes each to ``<folder>/tmp…`` and moves it to ``<folder>/<sha256>/<name>``. Downloads lie in
``<folder>/tmp…/<name>``.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from melbo_app.errors import InputError
from melbo_app.hosts import client_of
from melbo_app.library.room import room
from melbo_app.sizes import size_text

FILES, BYTES = 200, 4_000_000_000
"""Limit on unused files of all people together."""
OWN_FILES, OWN_BYTES = 30, 2_200_000_000
"""Limit per address: enough for a room of people behind one proxy, or for the largest DCT's V and U."""
UNUSED, USED, STALLED = 3600.0, 300.0, 600.0
"""Seconds after which files are removed: unused ones and downloads; used ones, which somebody else may have uploaded,
too; and half-written ones."""
_LOOK = 4_000_000  # bytes between two checks of the disk
_TEMPORARY, _CONTENT = "tmp", re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(rf"{_TEMPORARY}.*|{_CONTENT.pattern}")


class RequestRefused(InputError):
    """A request cannot be accepted now. ``status`` is the HTTP status, such as 413 for a quota and 507 for the disk."""

    def __init__(self, status: int, field: str, problem: str, remedy: str) -> None:
        self.status = status
        super().__init__(field, problem, remedy)


@dataclass(frozen=True)
class _Kept:
    client: str
    size: int


class Arrival:
    """One request that uploads files. Bytes and files are announced before they are written."""

    def __init__(self, uploads: "Uploads", client: str) -> None:
        self._uploads, self.client = uploads, client
        self.size, self.files, self._looked = 0, 0, 0

    def take(self, size: int) -> None:
        """Announce ``size`` more bytes. Raises RequestRefused."""
        self.size += size
        self._uploads.check(self.client, 0)
        if self.size - self._looked >= _LOOK:
            self._looked = self.size
            self._uploads.check_disk(0)

    def file(self) -> None:
        """Announce one more file. Raises RequestRefused."""
        self.files += 1
        self._uploads.check(self.client, 0)


class Uploads:
    """The unused files in ``folder``. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[Path, _Kept] = {}
        self._arriving: list[Arrival] = []

    def begin(self, address: str, size: int | None) -> Arrival:
        """Begin a request from ``address`` with ``size`` bytes (None: unknown). Raises RequestRefused."""
        client = client_of(address) or address
        self.tidy()
        self.check(client, size or 0, 1)
        self.check_disk(size or 0)
        arrival = Arrival(self, client)
        self._arriving.append(arrival)
        return arrival

    def end(self, arrival: Arrival, paths: Sequence[str]) -> None:
        """End ``arrival``, which left the files ``paths``; if it left none, remove its remains."""
        self._arriving.remove(arrival)
        if not paths and not self._arriving:
            for half in list(files_in(self._folder)):
                if half.parent == self._folder:
                    half.unlink(missing_ok=True)
        for path in map(Path, paths):
            with suppress(OSError):
                if path.is_relative_to(self._folder):
                    self._kept[path] = _Kept(arrival.client, path.stat().st_size)

    def check(self, client: str, size: int, files: int = 0) -> None:
        """Raises RequestRefused if ``client`` may not add ``size`` bytes and ``files`` files."""
        every: list[_Kept | Arrival] = [*self._kept.values(), *self._arriving]
        own = [one for one in every if one.client == client]
        for some, most_files, most_bytes, whose in (
            (own, OWN_FILES, OWN_BYTES, "of this address"),
            (every, FILES, BYTES, "on this server"),
        ):
            count = files + sum(one.files if isinstance(one, Arrival) else 1 for one in some)
            if count > most_files:
                raise RequestRefused(413, "upload", f"{most_files} files {whose} wait to be used", _LATER)
            if size + sum(one.size for one in some) > most_bytes:
                left = size_text(max(0, most_bytes - sum(one.size for one in some if isinstance(one, _Kept))))
                problem = f"files {whose} that wait to be used may have {size_text(most_bytes)}, and {left} are left"
                raise RequestRefused(413, "upload", problem, _LATER)

    def check_disk(self, size: int) -> None:
        """Refuse ``size`` bytes that would take of the disk's reserve. Raises RequestRefused."""
        with suppress(OSError):
            have = room(self._folder)
            if have == 0 or size > have:
                problem = f"the server's disk has room for files of {size_text(have)} in all"
                raise RequestRefused(507, "upload", problem, "Ask whoever runs the server to make room")

    def tidy(self) -> None:
        """Remove expired files, and take stock of the others. Files that cannot be removed stay."""
        now, kept = time.time(), {}
        for path in list(files_in(self._folder)):
            with suppress(OSError):
                status = path.lstat()
                age = now - status.st_ctime
                part = path.relative_to(self._folder).parts
                if len(part) == 1:
                    is_over = now - max(status.st_mtime, status.st_ctime) >= STALLED
                else:
                    was_used = status.st_mtime == 0
                    is_over = age >= (USED if was_used else UNUSED)
                    if not is_over and not was_used and _CONTENT.fullmatch(part[0]):
                        kept[path] = _Kept(self._kept[path].client if path in self._kept else "", status.st_size)
                if is_over:
                    path.unlink()
                    _remove_empty(path.parent, self._folder)
        self._kept = kept


_LATER = f"Import or merge some of them, or wait: unused files are removed after {UNUSED / 60:.0f} minutes"


def mark_used(path: Path) -> None:
    """Mark ``path`` as imported: it no longer counts and is removed soon, though not at once, since somebody else may
    have uploaded the same. If it cannot be marked, it expires as an unused file."""
    with suppress(OSError):
        os.utime(path, (0, 0))


def files_in(folder: Path) -> Iterator[Path]:
    """The files that Gradio and the page put into ``folder`` and its subfolders of uploads and downloads."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            path = Path(entry.path)
            if entry.is_file(follow_symlinks=False) and entry.name.startswith(_TEMPORARY):
                yield path
            elif entry.is_dir(follow_symlinks=False) and _OURS.fullmatch(entry.name):
                yield from (one for one in path.rglob("*") if one.is_file() or one.is_symlink())


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
