"""Preferences: what people chose between two texts of which they did not know the makers, one JSON file a bank."""

from typing import ClassVar, Literal

from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Index, Moment, Radius, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.said_files import SaidFiles, SaidOfBank

Against = Literal["baseline", "random"]
"""What a vector's text is compared with: the unsteered text, or that under a random vector of the same R."""
Choice = Literal["vector", "other", "tie", "both bad"]


class Preference(Frozen):
    """One person's choice between the ``text`` under a vector at ``radius`` and the ``other`` one."""

    vector: Index
    against: Against
    choice: Choice
    who: Word
    """The name that the person gave."""
    prompt: PromptRecord
    text: Text
    other: Text
    radius: Radius
    created: Moment

    @property
    def identity(self) -> tuple[int, str, str]:
        """The vector, what it is compared with, and who compared: each chooses once."""
        return self.vector, self.against, self.who


class Preferences(SaidOfBank):
    """All preferences for texts of one bank."""

    what: ClassVar[str] = "preferences"
    said: tuple[Preference, ...] = ()


class PreferenceFiles(SaidFiles[Preferences]):
    """The preferences on disk."""

    kind, noun = Preferences, "list of preferences"

    def of_bank(self, bank_hash: str) -> tuple[Preference, ...]:
        """The preferences for texts of a bank."""
        return self._said(bank_hash)
