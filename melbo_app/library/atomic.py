"""A file or a folder written whole or not at all."""

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

# What file systems without hard links answer (FAT, some network folders).
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


def write_file(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write ``data`` to ``path`` in one step: after a crash or a full disk there is the old file or the new one.

    The folder must exist. Raises FileExistsError where ``path`` exists and ``overwrite`` is False (of several writers
    at once exactly one wins), and StorageError, with nothing left behind, where the disk refuses.
    """
    with open_to_write(path, overwrite=overwrite, size=len(data)) as stream:
        stream.write(data)


@contextlib.contextmanager
def open_to_write(path: Path, *, overwrite: bool, size: int | None = None) -> Iterator[BinaryIO]:
    """The same for what is written bit by bit: the file has its name when this is left without an error.

    ``size`` is what the message of a full disk says that it needs; a large file leaves the disk its reserve. Raises
    what ``write_file`` does.
    """
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
    with contextlib.suppress(OSError):  # the file is complete; a file system that cannot sync folders is no failure
        sync_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``path`` with these files in it, all or nothing. The folder above must exist.

    Raises FileExistsError where ``path`` exists, and StorageError, with nothing left behind, where the disk refuses.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    check_room(path.parent, sum(map(len, files.values())), f"“{path.name}”")
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        try:
            part.mkdir()
            for name, data in files.items():
                with open(part / name, "xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
            sync_folder(part)
            os.rename(part, path)  # over a folder that came meanwhile it fails, unless that one is empty
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        raise StorageError(_sentence(path, sum(map(len, files.values())), error)) from error
    with contextlib.suppress(OSError):
        sync_folder(path.parent)


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
    """Give ``part`` the name ``path``, or raise FileExistsError: a rename alone would overwrite silently."""
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
            facts.append(f"{size_text(shutil.disk_usage(path.parent).free)} are free on that disk")
        return " ".join([text, *([f"{', and '.join(facts)}."] if facts else []), "Make room and try again."])
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return text + f" Make the folder “{path.parent}” first."
    return text + " Check that the folder may be written to."
