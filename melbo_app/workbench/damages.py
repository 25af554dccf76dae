"""Use cases of what cannot be read any more: it is named, and left out of its list."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from melbo_app.errors import StorageError
from melbo_app.library.damage import Damage
from melbo_app.library.inspection import Finding, inspect
from melbo_app.library.job_records import JobRecords
from melbo_app.workbench.judging import Judging

Kept = Literal[
    "texts", "labels", "jobs", "explorations", "generality", "curves", "atlases", "searches", "judgements", "places",
]  # fmt: skip


class Damages(Judging):
    """What is damaged in the library."""

    def damaged(self, *kinds: Kept) -> list[Damage]:
        """Everything of these kinds (none: of all) that cannot be read; it reads all there is of them.

        Raises StorageError where a whole file, or the database, cannot be used.
        """
        readers: dict[Kept, Sequence[Callable[[], list[Damage]]]] = {
            "texts": [self._completions.damaged],
            "labels": [self._labels.damaged],
            "jobs": [JobRecords(self._database).damaged],
            "explorations": [self._explorations.damaged],
            "generality": [self._generalities.damaged],
            "curves": [self._curves.damaged],
            "atlases": [self._atlases.damaged],
            "searches": [self._searches.damaged],
            "judgements": [self._judgements.damaged, self._judge_scores.damaged],
            "places": [self._embeddings.damaged],
        }
        return [one for kind in kinds or get_args(Kept) for read in readers[kind] for one in read()]

    def check_library(self) -> list[Finding]:
        """What is missing, damaged or refers to what is no longer there."""
        found = inspect(self._banks, self._parts, self._catalogue, self._database)
        for kind in get_args(Kept):
            try:
                damaged = self.damaged(kind)
            except StorageError as error:
                told = str(error).rstrip(".")
                if told not in {one.problem for one in found}:  # the database refuses every kind in the same words
                    found.append(Finding(kind, told))
                continue
            found += [Finding(one.subject, one.problem, "It is left out of every list") for one in damaged]
        return found
