"""What ships beside a sample bank: one comparison and the labels of its vectors, put into the database once."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select

from melbo_app.library.bank import BankSummary
from melbo_app.library.completion import KeptComparison
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.labels import Labels, LabelVersion
from melbo_app.library.tables import ComparisonRow, CompletionRow

AUTHOR = "MELBO Explorer (sample)"
"""Of the labels that ship. One of them in a vector's history also says that its sample was put in."""
KIND = "sample"
ENDING = ".json"

_LOG = logging.getLogger(__name__)


class Sample(BaseModel):
    """The file ``NAME.json`` beside the bank ``NAME.safetensors``."""

    model_config = ConfigDict(frozen=True)

    bank_hash: str
    comparison: KeptComparison
    labels: tuple[LabelVersion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_one_bank(self) -> Self:
        steered = [one.bank_hash for one in self.comparison.completions if isinstance(one.vector, int)]
        if {*steered, *(label.bank_hash for label in self.labels)} != {self.bank_hash}:
            raise ValueError("its texts and labels are not those of one bank")
        if self.comparison.settings.get("kind") != KIND or {label.author for label in self.labels} != {AUTHOR}:
            raise ValueError("its comparison or one of its labels is not marked as a sample's")
        return self


class Samples:
    """The samples in ``folder``, and what the ``database`` has of them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder, self._database = folder, database

    def read(self, name: str) -> Sample | None:
        """What ships beside the bank ``name``; None where nothing does, or the file cannot be used."""
        path = self._folder / f"{name}{ENDING}"
        try:
            return Sample.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _LOG.warning("%s is left out: %s", path, str(error).splitlines()[0])
            return None

    def put_in(self, shelf: Sequence[BankSummary], labels: Labels, completions: Completions) -> list[str]:
        """Put in what ships beside the samples on the ``shelf``, where that was not done before; their names.

        A vector that has a label or had one keeps what people said of it. What was put in once and changed or removed
        since stays as it is. Raises StorageError.
        """
        hashes = {line.name: line.hash for line in shelf if line.sample and line.hash is not None}
        known = labels.versions(set(hashes.values())) if hashes else []
        before = {version.bank_hash for version in known if version.author == AUTHOR}
        spoken_of = {(version.bank_hash, version.vector) for version in known}
        added = []
        for name, bank_hash in hashes.items():
            if bank_hash in before:
                continue
            sample = self.read(name)
            if sample is None or sample.bank_hash != bank_hash:
                continue
            completions.merge([sample.comparison])
            # last: whoever is interrupted in between starts over, and nothing comes twice
            labels.merge([one for one in sample.labels if (bank_hash, one.vector) not in spoken_of])
            added.append(name)
        return added

    def comparison_of(self, bank_hash: str) -> int | None:
        """The number of the comparison that shipped with the bank of this hash; None where there is none."""
        wanted = (
            select(ComparisonRow.id)
            .join(CompletionRow)
            .where(ComparisonRow.kind == KIND, CompletionRow.bank_hash == bank_hash)
            .order_by(ComparisonRow.id.desc())
            .limit(1)
        )
        with self._database.read() as session:
            return session.scalars(wanted).first()
