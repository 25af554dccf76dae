"""Search: banks, labels and completions in which a text occurs."""

from contextlib import suppress
from dataclasses import dataclass

from melbo_app.errors import StorageError
from melbo_app.library.bank import BankSummary
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.completion import Completion
from melbo_app.library.completions import Completions
from melbo_app.library.damage import Damage, Listed
from melbo_app.library.labels import Label, Labels


@dataclass(frozen=True)
class Found:
    """What a search found, at most so many of each as were asked for."""

    banks: list[BankSummary]
    labels: Listed[Label]
    completions: Listed[Completion]

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """What cannot be read and is left out."""
        return (*self.labels.damaged, *self.completions.damaged)


def search(
    text: str, banks: Banks, catalogue: Catalogue, labels: Labels, completions: Completions, limit: int
) -> Found:
    """What has ``text`` in it, in any case.

    Names, notes, methods, models and prompts of banks; names, notes, tags and banks of labels; texts and prompts of
    completions, the newest first.
    """
    with suppress(StorageError):  # what cannot be entered now is not found; everything else is
        catalogue.refresh(banks.files())
    names = catalogue.search(text, limit)
    shelf = {line.name: line for line in reversed(banks.list())}
    return Found(
        [shelf[name] for name in names if name in shelf],
        labels.search(text, limit=limit),
        completions.search(text, limit=limit),
    )
