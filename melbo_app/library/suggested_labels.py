"""Suggested labels: what a model wrote about a vector, and how well it predicted unseen texts; one JSON file a bank."""

import threading
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from melbo_app.library.facts import Count, Digest, ModelName, Moment, Share
from melbo_app.library.json_files import JsonFiles, Measured, key_of
from melbo_app.library.tested_label import TestedLabel

LARGE = 1_000_000_000
"""Parameters of a model whose suggestions are shown by default."""


def is_small(parameter_count: int | None) -> bool:
    """Whether a model is so small that its suggestions are off by default."""
    return parameter_count is not None and parameter_count < LARGE


class SuggestedLabel(TestedLabel):
    """A name that ``writer`` gave to a vector, tested by ``reader`` on ``unseen`` texts of each kind; ``others`` are
    the AUROC of other names on the same texts."""

    writer: ModelName
    reader: ModelName
    others: tuple[Share, ...]
    unseen: Count
    parameter_count: Count | None = None
    """Of the writer; None if unknown, behind an endpoint."""

    @property
    def is_by_small(self) -> bool:
        """Whether its writer is too small to be trusted unasked."""
        return is_small(self.parameter_count)

    @property
    def holds(self) -> bool:
        """Whether it predicts well enough to be shown: better than chance, and than any other name."""
        return super().holds and all(one < self.auroc for one in self.others)


class SuggestedLabels(Measured):
    """The last suggestion for each vector of one bank."""

    dated: ClassVar[str] = "changed"
    bank_hash: Annotated[Digest, Field(min_length=1)]
    said: tuple[SuggestedLabel, ...] = ()
    changed: Moment

    @property
    def key(self) -> str:
        return key_of(["suggested labels", self.bank_hash])


class SuggestedLabelFiles(JsonFiles[SuggestedLabels]):
    """The suggestions on disk."""

    kind, noun = SuggestedLabels, "list of suggested labels"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._one = threading.Lock()

    def of_bank(self, bank_hash: str) -> dict[int, SuggestedLabel]:
        """The suggestions for a bank, by vector."""
        found = self.find(key_of(["suggested labels", bank_hash]))
        return {} if found is None else {one.vector: one for one in found.said}

    def add(self, model_hash: str, bank_hash: str, said: SuggestedLabel) -> None:
        """Keep a suggestion in place of an earlier one for the vector."""
        with self._one:
            every = {**self.of_bank(bank_hash), said.vector: said}
            made = tuple(every[one] for one in sorted(every))
            self.keep(SuggestedLabels(model_hash=model_hash, bank_hash=bank_hash, said=made, changed=said.created))
