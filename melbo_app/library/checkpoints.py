"""Checkpoints: where a job stands, in a file that outlives the program."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import write_file
from melbo_app.library.tensor_file import check_seal, sealed

FORMAT, VERSION = "melbo-checkpoint", "1"
_BEFORE_CHECKSUMS = frozenset({"format", "version", "hash", "record"})
ENDING = ".safetensors"


class Checkpoints:
    """The checkpoints in ``folder``, one for each job at most; the folder need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, job: int, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        """Put down where a job stands, in the place of what was there. ``record`` is what JSON can hold.

        Raises StorageError; the one before it is then still there.
        """
        metadata = sealed({"format": FORMAT, "version": VERSION, "hash": _digest(arrays), "record": json.dumps(record)})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"The folder “{self._folder}” cannot be made ({error.strerror}).") from error
        write_file(self._path(job), save(arrays, metadata), overwrite=True)

    def load(self, job: int) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """What ``save`` put down last; None where there is nothing. Raises InputError where it is damaged."""
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
            raise InputError("checkpoint", f"“{path.name}” is damaged", "The job starts anew") from error
        if not sound or not isinstance(record, dict):
            raise InputError("checkpoint", f"“{path.name}” is damaged", "The job starts anew")
        return arrays, record

    def has(self, job: int) -> bool:
        """Whether there is one for this job, damaged or not."""
        return self._path(job).exists()

    def remove(self, job: int) -> None:
        """The job came to its end."""
        with contextlib.suppress(OSError):  # what stays is removed at the next start
            self._path(job).unlink(missing_ok=True)

    def keep_only(self, jobs: set[int]) -> None:
        """Remove what belongs to no job that will go on."""
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
