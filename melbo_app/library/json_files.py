"""Measurements of models, one JSON file each."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import ConfigDict

from melbo_app.errors import StorageError
from melbo_app.library.atomic import make_folder, write_file
from melbo_app.library.damage import Damage, Listed, read_each
from melbo_app.library.facts import Digest
from melbo_app.library.frozen import Frozen


class Measured(Frozen):
    """A measurement of the model with the hash ``model_hash``."""

    model_config = ConfigDict(protected_namespaces=())

    dated: ClassVar[str] = "created"
    """The field with its date."""
    model_hash: Digest

    @property
    def key(self) -> str:
        """Identifies the record: a later one with the same key replaces it."""
        raise NotImplementedError

    @property
    def moment(self) -> datetime:
        """When it was made or last changed."""
        return getattr(self, self.dated)


MOST_BYTES = 256 << 20
"""Of a file: ten times the largest ever written."""

Record = TypeVar("Record", bound=Measured)


class JsonFiles(Generic[Record]):
    """The records in ``folder``, which need not exist. Unreadable files are left out of lists; a lookup treats them as
    missing, so that they are made again."""

    kind: type[Record]
    noun: str
    """The name of a record in messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, tuple[Record, str]] = {}  # with the disk's error

    def save(self, record: Record) -> None:
        """Save a record in place of an older one. Raises StorageError if the disk refuses."""
        make_folder(self._folder)
        write_file(self._folder / f"{record.key}.json", record.model_dump_json().encode(), overwrite=True)

    def keep(self, record: Record) -> None:
        """Save a record in place of an older one; if the disk refuses, it waits in memory."""
        try:
            self.save(record)
            self._waiting.pop(record.key, None)
        except StorageError as error:
            self._waiting[record.key] = record, str(error)

    def save_waiting(self) -> int:
        """Write the waiting records; returns their number. Raises StorageError if the disk still refuses."""
        waiting = list(self._waiting.items())
        for key, (record, reason) in waiting:
            self.save(record)
            if self._waiting.get(key) == (record, reason):  # otherwise a newer one arrived meanwhile
                del self._waiting[key]
        return len(waiting)

    def not_kept(self) -> dict[str, str]:
        """Why records wait in memory, by key."""
        return {key: reason for key, (_, reason) in list(self._waiting.items())}

    def find(self, key: str) -> Record | None:
        """The record with this key, or None."""
        waiting = self._waiting.get(key)
        if waiting:
            return waiting[0]
        path = self._folder / f"{key}.json"
        return next(iter(read_each([path] if path.is_file() else [], self._read, str)), None)

    def of_model(self, model_hash: str) -> Listed[Record]:
        """The records of a model, newest first."""
        found = self._every()
        own = [one for one in found if one.model_hash == model_hash]
        return Listed(sorted(own, key=lambda one: one.moment, reverse=True), found.damaged)

    def damaged(self) -> list[Damage]:
        """The files that cannot be read."""
        return [*self._every().damaged]

    def latest(self, model_hash: str) -> Record | None:
        """The newest record of a model, or None."""
        return next(iter(self.of_model(model_hash)), None)

    def _every(self) -> Listed[Record]:
        waiting = {key: record for key, (record, _) in list(self._waiting.items())}
        paths = sorted(path for path in self._folder.glob("*.json") if path.stem not in waiting)
        found = read_each(paths, self._read, lambda path: f"{self.noun} “{path.name}”")
        return Listed([*found, *waiting.values()], found.damaged)

    def _read(self, path: Path) -> Record:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        return self.kind.model_validate_json(path.read_bytes())


def key_of(facts: Sequence[object]) -> str:
    """A hash of ``facts``, which must be JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
