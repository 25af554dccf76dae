"""Search: banks, labels and completions that contain a text."""

from contextlib import suppress
from dataclasses import dataclass

from melbo_app.errors import StorageError
from melbo_app.library.bank import BankSummary
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.completion import Completion
from melbo_app.library.completions import Completions
from melbo_app.library.damage import Damage, Listed
from melbo_app.library.label import Label
from melbo_app.library.labels import Labels


@dataclass(frozen=True)
class Found:
    """The results of a search, up to the limit of each kind."""

    banks: list[BankSummary]
    labels: Listed[Label]
    completions: Listed[Completion]

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """Records that cannot be read."""
        return (*self.labels.damaged, *self.completions.damaged)


def search(
    text: str,
    banks: Banks,
    catalogue: Catalogue,
    labels: Labels,
    completions: Completions,
    limit: int,
    seen_by: str | None = None,
) -> Found:
    """Search for ``text``, ignoring case, in names, notes, methods, models and prompts of banks; in names, notes, tags
    and banks of labels that this annotator may see (None: all that count); and in texts and prompts of completions,
    newest first."""
    with suppress(StorageError):  # new banks may be missing from the result; everything else is found
        catalogue.refresh(banks.files())
    names = catalogue.search(text, limit)
    shelf = {line.name: line for line in reversed(banks.list())}
    return Found(
        [shelf[name] for name in names if name in shelf],
        labels.search(text, limit=limit, seen_by=seen_by),
        completions.search(text, limit=limit),
    )
