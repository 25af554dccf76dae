"""Sample data that ships with a sample bank: one comparison and its vectors' labels, put into the database once."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy import func, select

from melbo_app.library.bank import BankSummary
from melbo_app.library.completion import KeptComparison
from melbo_app.library.completions import merge_comparisons
from melbo_app.library.database import Database
from melbo_app.library.frozen import Frozen
from melbo_app.library.label import LabelVersion
from melbo_app.library.label_merging import merge_labels
from melbo_app.library.labels import Labels
from melbo_app.library.tables import ComparisonRow, CompletionRow

AUTHOR = "MELBO Explorer (sample)"
"""Author of the shipped labels; a label of this author in the history also shows that the sample was put in."""
KIND = "sample"
ENDING = ".json"

_LOG = logging.getLogger(__name__)


class Sample(Frozen):
    """The file ``NAME.json`` beside the bank ``NAME.safetensors``."""

    bank_hash: str
    comparison: KeptComparison
    labels: tuple[LabelVersion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_one_bank(self) -> Self:
        steered = [one.bank_hash for one in self.comparison.completions if isinstance(one.vector, int)]
        if {*steered, *(label.bank_hash for label in self.labels)} != {self.bank_hash}:
            raise ValueError("its texts and labels belong to several banks")
        if self.comparison.settings.get("kind") != KIND or {label.author for label in self.labels} != {AUTHOR}:
            raise ValueError("its comparison or one of its labels is not marked as a sample's")
        return self


class Samples:
    """The samples in ``folder``, and their copies in ``database``."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder, self._database = folder, database

    def read(self, name: str) -> Sample | None:
        """The data that ships with the bank ``name``; None without a valid file."""
        path = self._folder / f"{name}{ENDING}"
        try:
            return Sample.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _LOG.warning("%s is left out: %s", path, str(error).splitlines()[0])
            return None

    def put_in(self, shelf: Sequence[BankSummary], labels: Labels) -> list[str]:
        """Put the data of the samples on the ``shelf`` into the database, once each; returns their names. Vectors that
        have or had a label keep it. Sample data that people changed or removed stays so. Raises StorageError."""
        hashes = {line.name: line.hash for line in shelf if line.sample and line.hash is not None}
        known = labels.versions(set(hashes.values())) if hashes else []
        before = {version.bank_hash for version in known if version.author == AUTHOR}
        labelled = {(version.bank_hash, version.vector) for version in known}
        added = []
        for name, bank_hash in hashes.items():
            if bank_hash in before:
                continue
            sample = self.read(name)
            if sample is None or sample.bank_hash != bank_hash:
                continue
            with self._database.write() as session:
                merge_comparisons(session, [sample.comparison])
                merge_labels(session, [one for one in sample.labels if (bank_hash, one.vector) not in labelled])
            added.append(name)
        return added

    def comparison_of(self, bank_hash: str) -> int | None:
        """The number of the comparison that shipped with the bank of this hash, or None."""
        of_bank = (ComparisonRow.kind == KIND, CompletionRow.bank_hash == bank_hash)
        newest = select(func.max(ComparisonRow.id)).join(CompletionRow).where(*of_bank)
        with self._database.read() as session:
            return session.scalar(newest)
