"""Diversity curves: the last one of each model and set of prompts, a JSON file each."""

import hashlib
import json
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.errors import StorageError
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import PromptRecord


class KeptCurve(BaseModel):
    """A diversity curve with what it belongs to."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_hash: str
    prompts: tuple[PromptRecord, ...]
    curve: DiversityCurve
    changed: AwareDatetime

    @property
    def key(self) -> str:
        """The curve of the same model and prompts that comes later takes its place."""
        facts = json.dumps([self.model_hash, [prompt.model_dump() for prompt in self.prompts]], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:32]


class Curves:
    """The curves in ``folder``, which need not exist. A file that cannot be read counts as none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, kept: KeptCurve) -> None:
        """Put a curve in the place of what was there. Raises StorageError where the disk refuses."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"“{self._folder}” could not be made ({error.strerror or error}).") from error
        write_file(self._folder / f"{kept.key}.json", kept.model_dump_json().encode(), overwrite=True)

    def latest(self, model_hash: str) -> KeptCurve | None:
        """The curve of a model that was measured last."""
        found = [_read(path) for path in self._folder.glob("*.json")]
        own = [kept for kept in found if kept is not None and kept.model_hash == model_hash]
        return max(own, key=lambda kept: kept.changed, default=None)


def _read(path: Path) -> KeptCurve | None:
    try:
        return KeptCurve.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
