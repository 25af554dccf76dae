"""Damaged records: they are named, and left out of their lists."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from melbo_app.errors import StorageError
from melbo_app.library.damage import Damage
from melbo_app.library.inspection import Finding, inspect
from melbo_app.workbench.base import Base

Kept = Literal[
    "texts", "labels", "jobs", "explorations", "generality", "finds", "audits", "curves", "atlases", "searches",
    "circuits", "judgements", "places", "preferences", "readings of labels", "suggested labels", "guidelines",
    "conversations", "reliability", "hardened", "triggers", "removals",
]  # fmt: skip


class Damages(Base):
    """Finds damage in the library."""

    def damaged(self, *kinds: Kept) -> list[Damage]:
        """Everything that cannot be read, of these kinds or, by default, all; reads all records of these kinds.

        Raises StorageError if a whole file, or the database, cannot be used.
        """
        readers: dict[Kept, Sequence[Callable[[], list[Damage]]]] = {
            "texts": [self.bench.completions.damaged],
            "labels": [self.bench.labels.damaged],
            "guidelines": [lambda: [*self.bench.guidelines.versions().damaged]],
            "jobs": [self.bench.records.damaged],
            "explorations": [self.bench.explorations.damaged],
            "generality": [self.bench.generalities.damaged],
            "finds": [self.bench.finds.damaged],
            "audits": [self.bench.audits.damaged],
            "circuits": [self.bench.circuits.damaged],
            "reliability": [self.bench.reliabilities.damaged],
            "triggers": [self.bench.trigger_searches.damaged],
            "removals": [self.bench.removals.damaged, self.bench.removal_tests.damaged],
            "hardened": [self.bench.hardenings.damaged],
            "preferences": [self.bench.preferences.damaged],
            "readings of labels": [self.bench.label_readings.damaged],
            "suggested labels": [self.bench.suggested_labels.damaged],
            "conversations": [self.bench.conversations.damaged],
            "curves": [self.bench.curves.damaged],
            "atlases": [self.bench.atlases.damaged],
            "searches": [self.bench.searches.damaged],
            "judgements": [self.bench.judgements.damaged, self.bench.judge_scores.damaged],
            "places": [self.bench.embeddings.damaged],
        }
        return [one for kind in kinds or get_args(Kept) for read in readers[kind] for one in read()]

    def check_library(self) -> list[Finding]:
        """Missing and damaged records, and references to missing ones."""
        found = inspect(self.bench.banks, self.bench.parts, self.bench.catalogue, self.bench.database)
        for kind in get_args(Kept):
            try:
                damaged = self.damaged(kind)
            except StorageError as error:
                message = str(error).rstrip(".")
                if message not in {one.problem for one in found}:  # the database fails in the same words for every kind
                    found.append(Finding(kind, message))
                continue
            found += [Finding(one.subject, one.problem, "It is left out of every list") for one in damaged]
        return found
