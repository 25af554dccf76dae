"""Completions that survive a refusal by the database: they wait in memory and can be looked up there."""

import json
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from melbo_app.errors import StorageError
from melbo_app.library.completion import Comparison, ComparisonSummary, Completion, CompletionKey
from melbo_app.library.completions import Completions
from melbo_app.library.damage import Damage, Listed
from melbo_app.library.database import Database

MOST_TEXTS = 20_000
"""Texts waiting in memory, about 40 MB with their scores; beyond that, the oldest are dropped."""


class PatientCompletions(Completions):
    """The completions in ``database`` and those that it currently refuses. Waiting records have negative numbers, which
    remain valid after the database has assigned others."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._one, self._saving = threading.Lock(), threading.Lock()
        self._waiting: dict[int, Comparison] = {}
        self._whole: dict[int, dict[str, Completion]] = {}  # their texts that Stop did not cut off, by digest
        self._numbers: dict[int, int] = {}  # temporary to stored numbers, of comparisons and texts
        self._next = -int(1000 * time.time())  # different after each start, so that old numbers find nothing

    def keep(self, settings: dict[str, Any], completions: Sequence[Completion]) -> Comparison:
        """``add_comparison``; if the database refuses, the comparison waits in memory and its ``not_kept`` says why.
        A press of Steer that only looked up what an earlier one stored is that one again, not another line.
        Raises InputError if there are no completions."""
        try:
            known = self.same(settings, completions) if completions and settings.get("kind") == "steer" else None
            kept = known or self.add_comparison(settings, completions)
        except StorageError as error:
            return self._put(settings, completions, str(error))
        with suppress(StorageError):  # the database works again
            self.save_waiting()
        return kept

    def save_waiting(self) -> int:
        """Store the waiting comparisons, oldest first; returns how many were stored. Raises StorageError if the
        database refuses; the rest goes on waiting."""
        saved = 0
        with self._saving:
            while (waiting := next(iter(self.waiting()), None)) is not None:
                kept = self.add_comparison(waiting.settings, waiting.completions)
                with self._one:
                    self._drop(waiting.id)
                    self._numbers[waiting.id] = kept.id
                    for before, now in zip(waiting.completions, kept.completions, strict=True):
                        self._numbers[before.id or 0] = now.id or 0
                saved += 1
        return saved

    def waiting(self) -> list[Comparison]:
        """The waiting comparisons, oldest first."""
        with self._one:
            return list(self._waiting.values())

    def number(self, id: int) -> int:
        """The stored number of a comparison or a text; ``id`` itself while it is waiting."""
        return self._numbers.get(id, id)

    def comparison(self, id: int) -> Comparison:
        id = self.number(id)
        return next((one for one in self.waiting() if one.id == id), None) or super().comparison(id)

    def recent(self, limit: int = 20, kind: str | None = None) -> Listed[ComparisonSummary]:
        newest = self.waiting()[::-1]
        lines = [_summary(one) for one in newest if kind in (None, one.settings.get("kind", "steer"))]
        damaged: tuple[Damage, ...] = ()
        try:
            kept = super().recent(limit, kind)
            lines, damaged = [*lines, *kept], kept.damaged
        except StorageError:
            if not lines:
                raise
        return Listed(lines[: max(0, limit)], damaged)

    def get(self, id: int) -> Completion:
        id = self.number(id)
        return next((text for text in self._texts() if text.id == id), None) or super().get(id)

    def comparison_of(self, id: int) -> int:
        id = self.number(id)
        for one in self.waiting():
            if any(text.id == id for text in one.completions):
                return one.id
        return super().comparison_of(id)

    def newest(self, bank_hash: str) -> dict[int, Completion]:
        waiting = {
            one.vector: one for one in self._texts() if one.bank_hash == bank_hash and isinstance(one.vector, int)
        }
        return {**super().newest(bank_hash), **waiting}

    def controls(self, ids: Collection[int]) -> list[Completion]:
        beside = [one for one in self.waiting()[::-1] if any(text.id in ids for text in one.completions)]
        waiting = [text for one in beside for text in one.completions if not isinstance(text.vector, int)]
        stored = [number for id in ids if (number := self.number(id)) > 0]
        return [*waiting, *(super().controls(stored) if stored else [])]

    def those(self, ids: Collection[int]) -> list[Completion]:
        waiting = [text for text in self._texts() if text.id in ids]
        return [*super().those([number for id in ids if (number := self.number(id)) > 0]), *waiting]

    def find(self, key: CompletionKey) -> Completion | None:
        """The newest completion with this ``key``, or None; also None if the database fails while texts are waiting, so
        that the next texts are generated all the same."""
        with self._one:
            waiting = list(self._whole.values())[::-1]
        digest = key.digest if waiting else ""
        found = next((texts[digest] for texts in waiting if digest in texts), None)
        if found is not None:
            return found.model_copy(update={"prompt_hash": None})
        try:
            return super().find(key)
        except StorageError:
            if not waiting:
                raise
            return None

    def _texts(self) -> list[Completion]:
        return [text for one in self.waiting() for text in one.completions]

    def _put(self, settings: dict[str, Any], completions: Sequence[Completion], reason: str) -> Comparison:
        with self._one:
            number = self._next
            self._next -= 1 + len(completions)
            numbered = enumerate(completions, start=1)
            texts = tuple(one.model_copy(update={"id": number - place}) for place, one in numbered)
            kept = json.loads(json.dumps(settings))
            added = Comparison(id=number, created=datetime.now(UTC), settings=kept, completions=texts, not_kept=reason)
            self._waiting[number] = added
            whole = [one for one in texts if one.finished or one.tokens >= one.max_new_tokens]
            self._whole[number] = {one.digest: one for one in whole}
            while len(self._waiting) > 1 and sum(len(one.completions) for one in self._waiting.values()) > MOST_TEXTS:
                self._drop(next(iter(self._waiting)))
            return added

    def _drop(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._whole.pop(number, None)


def _summary(one: Comparison) -> ComparisonSummary:
    first = min(one.completions, key=lambda text: text.prompt_index)
    bank = max((text.bank for text in one.completions if text.bank), default=None)
    prompt, count = first.prompt.user, len(one.completions)
    return ComparisonSummary(
        id=one.id, created=one.created, settings=one.settings, bank=bank, prompt=prompt, completions=count
    )
