"""What people said about the vectors of a bank, one JSON file a bank."""

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from melbo_app.library.damage import Listed
from melbo_app.library.facts import Digest, Moment
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class SaidOfBank(Measured):
    """All that was said about one bank, the oldest first. Each entry is ``created`` at some time, and a later one with
    the same ``identity`` takes its place."""

    dated: ClassVar[str] = "changed"
    what: ClassVar[str]
    bank_hash: Annotated[Digest, Field(min_length=1)]
    said: tuple[Any, ...] = ()
    changed: Moment

    @property
    def key(self) -> str:
        return key_of([self.what, self.bank_hash])


OfBank = TypeVar("OfBank", bound=SaidOfBank)


class SaidFiles(JsonFiles[OfBank]):
    """The files on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._one = threading.Lock()

    def of_banks(self, bank_hashes: Collection[str] | None = None) -> Listed[OfBank]:
        """All that was said, or what was said about these banks, by bank."""
        found = self._every()
        some = [one for one in found if bank_hashes is None or one.bank_hash in bank_hashes]
        return Listed(sorted(some, key=lambda one: one.bank_hash), found.damaged)

    def merge(self, brought: OfBank) -> int:
        """Add what another library holds; of two entries with one identity the later one counts. Returns the number of
        new ones."""
        with self._one:
            own = {one.identity: one for one in self._said(brought.bank_hash)}
            later = [one for one in brought.said if one.identity in own and one.created > own[one.identity].created]
            new = [*later, *(one for one in brought.said if one.identity not in own)]
            if new:
                said = sorted((own | {one.identity: one for one in new}).values(), key=lambda one: one.created)
                self.keep(brought.model_copy(update={"said": tuple(said), "changed": said[-1].created}))
            return len(new)

    def add(self, model_hash: str, bank_hash: str, said: Any) -> None:
        """Keep an entry, in place of an earlier one with its identity."""
        with self._one:
            every = (*(one for one in self._said(bank_hash) if one.identity != said.identity), said)
            self.keep(self.kind(model_hash=model_hash, bank_hash=bank_hash, said=every, changed=said.created))

    def _said(self, bank_hash: str) -> tuple[Any, ...]:
        found = self.find(key_of([self.kind.what, bank_hash]))
        return () if found is None else found.said
