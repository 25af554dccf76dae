"""Checkpoints: the state of a job, in a file that outlives the program."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from melbo_app.errors import InputError
from melbo_app.library.atomic import make_folder, write_file
from melbo_app.library.tensor_file import check_seal, sealed

FORMAT, VERSION = "melbo-checkpoint", "1"
_BEFORE_CHECKSUMS = frozenset({"format", "version", "hash", "record"})
ENDING = ".safetensors"


class Checkpoints:
    """The checkpoints in ``folder``, at most one per job; the folder need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, job: int, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        """Save the state of a job in place of its last checkpoint. ``record`` must be JSON. Raises StorageError, which
        leaves the last checkpoint as it was."""
        metadata = sealed({"format": FORMAT, "version": VERSION, "hash": _digest(arrays), "record": json.dumps(record)})
        make_folder(self._folder)
        write_file(self._path(job), save(arrays, metadata), overwrite=True)

    def load(self, job: int) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The last checkpoint, or None. Raises InputError if it is damaged."""
        path = self._path(job)
        if not path.exists():
            return None
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                check_seal(metadata, _BEFORE_CHECKSUMS)
                arrays = {name: file.get_tensor(name) for name in list(file.keys())}
            record = json.loads(metadata["record"])
            sound = (metadata["format"], metadata["version"], metadata["hash"]) == (FORMAT, VERSION, _digest(arrays))
        except Exception as error:  # the reader has an error class of its own, and lets others through
            raise InputError("checkpoint", f"“{path.name}” is damaged", "The job starts over") from error
        if not sound or not isinstance(record, dict):
            raise InputError("checkpoint", f"“{path.name}” is damaged", "The job starts over")
        return arrays, record

    def has(self, job: int) -> bool:
        """Whether this job has a checkpoint, damaged or not."""
        return self._path(job).exists()

    def remove(self, job: int) -> None:
        """Remove the checkpoint of a job that ended."""
        with contextlib.suppress(OSError):  # otherwise the next start removes it
            self._path(job).unlink(missing_ok=True)

    def keep_only(self, jobs: set[int]) -> None:
        """Remove the checkpoints of all other jobs."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.suffix == ENDING and path.stem not in {str(job) for job in jobs}:
                    path.unlink(missing_ok=True)

    def _path(self, job: int) -> Path:
        return self._folder / f"{job}{ENDING}"


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
