"""Atomic writes: a file or folder is written completely or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from melbo_app.errors import StorageError
from melbo_app.library.room import check_room
from melbo_app.sizes import size_text

# Errors of file systems without hard links (FAT, some network folders).
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


def write_file(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write ``data`` to ``path`` atomically: a crash or a full disk leaves either the old file or the new one.

    The folder must exist. Raises FileExistsError if ``path`` exists and ``overwrite`` is False (of concurrent writers,
    exactly one wins), and StorageError, leaving nothing behind, if the disk refuses.
    """
    with open_to_write(path, overwrite=overwrite, size=len(data)) as stream:
        stream.write(data)


@contextlib.contextmanager
def open_to_write(path: Path, *, overwrite: bool, size: int | None = None) -> Iterator[BinaryIO]:
    """Like ``write_file`` for a stream: the file gets its name when the block ends without an error. ``size`` in bytes
    appears in the message about a full disk; large files must leave the disk its reserve."""
    check_room(path.parent, size or 0, f"“{path.name}”")
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        try:
            with open(part, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if overwrite:
                os.replace(part, path)
            else:
                move_to_free_name(part, path)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(_sentence(path, size, error)) from error
    with contextlib.suppress(OSError):  # the file is complete, and some file systems cannot sync folders
        sync_folder(path.parent)


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn the disk's refusal into a StorageError that begins with ``what``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what} ({error.strerror or error}).") from error


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it if they do not exist. Raises StorageError."""
    with refused(f"The folder “{folder}” could not be made"):
        folder.mkdir(parents=True, exist_ok=True)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``path`` with these files, all or nothing; ``folder/file`` is a name, too. Its parent folder must
    exist. Raises FileExistsError if ``path`` exists, and StorageError, leaving nothing behind, if the disk refuses."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    check_room(path.parent, sum(map(len, files.values())), f"“{path.name}”")
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        try:
            part.mkdir()
            folders = {(part / name).parent for name in files} - {part}
            for folder in folders:
                folder.mkdir()
            for name, data in files.items():
                with open(part / name, "xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
            for folder in (*folders, part):
                sync_folder(folder)
            os.rename(part, path)  # fails if a folder appeared there meanwhile, unless that one is empty
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        raise StorageError(_sentence(path, sum(map(len, files.values())), error)) from error
    with contextlib.suppress(OSError):
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make the contents of a file survive a power cut. Raises OSError."""
    with path.open("rb+") as file:  # some systems do not sync through a read-only handle
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the last rename or deletion in ``folder`` survive a power cut. Raises OSError."""
    if os.name != "posix":  # Windows cannot open folders, and orders its renames itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_to_free_name(part: Path, path: Path) -> None:
    """Rename ``part`` to ``path``, or raise FileExistsError: a plain rename would overwrite silently."""
    try:
        os.link(part, path)
        return
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.replace(part, path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _sentence(path: Path, size: int | None, error: OSError) -> str:
    reason = error.strerror or str(error)
    text = f"“{path}” could not be written ({reason}); nothing was changed."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        facts = [] if size is None else [f"It needs {size_text(size)}"]
        with contextlib.suppress(OSError):
            facts.append(f"{size_text(shutil.disk_usage(path.parent).free)} are free on this disk")
        return " ".join([text, *([f"{', and '.join(facts)}."] if facts else []), "Make room and try again."])
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return text + f" Make the folder “{path.parent}” first."
    return text + " Check that the folder is writable."
