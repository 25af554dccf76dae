"""Preferences: what people chose between two texts of which they did not know the makers, one JSON file a bank."""

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from melbo_app.library.bank import PromptRecord
from melbo_app.library.damage import Listed
from melbo_app.library.facts import Digest, Index, Moment, Radius, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of

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
    def pair(self) -> tuple[int, str, str]:
        """The vector, what it is compared with, and who compared: each chooses once."""
        return self.vector, self.against, self.who


class Preferences(Measured):
    """All preferences for texts of one bank, the oldest first."""

    dated: ClassVar[str] = "changed"
    bank_hash: Annotated[Digest, Field(min_length=1)]
    said: tuple[Preference, ...] = ()
    changed: Moment

    @property
    def key(self) -> str:
        return key_of(["preferences", self.bank_hash])


class PreferenceFiles(JsonFiles[Preferences]):
    """The preferences on disk."""

    kind, noun = Preferences, "list of preferences"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._one = threading.Lock()

    def of_bank(self, bank_hash: str) -> tuple[Preference, ...]:
        """The preferences for texts of a bank."""
        found = self.find(key_of(["preferences", bank_hash]))
        return () if found is None else found.said

    def of_banks(self, bank_hashes: Collection[str] | None = None) -> Listed[Preferences]:
        """All preferences, or those for texts of these banks, by bank."""
        found = self._every()
        some = [one for one in found if bank_hashes is None or one.bank_hash in bank_hashes]
        return Listed(sorted(some, key=lambda one: one.bank_hash), found.damaged)

    def merge(self, brought: Preferences) -> int:
        """Add the preferences of another library; of two choices by one person for one pair the later one counts.
        Returns the number of new ones."""
        with self._one:
            own = {one.pair: one for one in self.of_bank(brought.bank_hash)}
            new = [one for one in brought.said if one.pair not in own or one.created > own[one.pair].created]
            if new:
                said = sorted((own | {one.pair: one for one in new}).values(), key=lambda one: one.created)
                self.keep(brought.model_copy(update={"said": tuple(said), "changed": said[-1].created}))
            return len(new)

    def add(self, model_hash: str, bank_hash: str, said: Preference) -> None:
        """Keep a preference, in place of an earlier one of the same person for the same pair."""
        with self._one:
            others = tuple(one for one in self.of_bank(bank_hash) if one.pair != said.pair)
            made = said.created
            self.keep(Preferences(model_hash=model_hash, bank_hash=bank_hash, said=(*others, said), changed=made))
