"""The embeddings of all stored texts in memory, to find the texts nearest in meaning to a sentence."""

import hashlib
import threading
from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import Subquery, func, select, union_all

from melbo_app.library.database import Database, InDatabase
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.tables import CompletionRow, TurnRow

READ_AT_ONCE = 5_000
"""Texts read from the database at a time."""


COMPLETIONS = select(CompletionRow.id.label("id"), CompletionRow.text.label("text")).subquery()
_DATED = TurnRow.created.label("created")  # the numbers of deleted turns are given again
ANSWERS = union_all(
    *(
        select(number.label("id"), text.label("text"), _DATED).where(TurnRow.role == "assistant")
        for number, text in ((2 * TurnRow.id, TurnRow.text), (2 * TurnRow.id + 1, TurnRow.baseline))
    )
).subquery()
"""The texts of answers, with the numbers that ``library/answers.py`` gives them."""


class Meanings(InDatabase):
    """One row for each distinct one of ``texts`` (id, text): float32, length 1. 100,000 texts take 154 MB.

    The rows are read once and then appended. Thread-safe. Every method raises StorageError if the database cannot be
    used.
    """

    def __init__(self, database: Database, embeddings: Embeddings, texts: Subquery = COMPLETIONS) -> None:
        super().__init__(database)
        self._embeddings, self._lock, self._texts = embeddings, threading.RLock(), texts.c
        self._empty("", 0)

    def _empty(self, embedder: str, size: int) -> None:
        self._embedder = embedder
        self._seen = self._last = 0  # how many texts were read, and the number of the last one
        self._newest: datetime | None = None  # the date of the newest text that was read, where texts have dates
        self._places: dict[bytes, int] = {}  # the row of a text
        self._ids: list[list[int]] = []  # of each row, the texts that say so, the newest last
        self._missing: dict[bytes, list[int]] = {}  # the same of texts without an embedding
        self._rows = np.zeros((0, size), dtype=np.float32)  # with room at the end

    def refresh(self, embedder: str, size: int) -> None:
        """Read the texts that were stored since the last call, with their embeddings [``size``] by ``embedder``,
        as far as they are there."""
        with self._lock:
            many, newest = self._counted()
            if self._dated() != self._newest or embedder != self._embedder or newest < self._last or many < self._seen:
                self._empty(embedder, size)
            self._read_up_to(newest)
            if self._seen != many:  # some were removed, or numbered late
                self._empty(embedder, size)
                self._read_up_to(newest)
            self._newest = self._dated()

    def nearest(self, row: np.ndarray, most: int, among: Collection[int] | None = None) -> list[tuple[int, float]]:
        """The numbers of the texts nearest to an embedding (``among``: of some), with their cosines, nearest first; of
        equal texts the newest."""
        with self._lock:
            rows, ids = self._rows[: len(self._ids)], self._ids
            if among is not None:
                own = [[id for id in some if id in among] for some in ids]
                rows, ids = rows[[bool(some) for some in own]], [some for some in own if some]
            if not ids or most < 1:
                return []
            cosines = rows @ _unit(row[None])[0]
            first = np.argpartition(-cosines, min(most, len(ids)) - 1)[:most]
            first = first[np.argsort(-cosines[first], kind="stable")]
            return [(ids[place][-1], float(cosines[place])) for place in first]

    def missing(self, most: int) -> list[int]:
        """The numbers of the newest texts that have no embedding yet, one of equal ones."""
        with self._lock:
            return sorted((ids[-1] for ids in self._missing.values()), reverse=True)[:most]

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of distinct texts with and without an embedding."""
        return len(self._ids), len(self._missing)

    def add(self, texts: Sequence[str], rows: np.ndarray) -> None:
        """Take up the embeddings [N, D] of stored texts."""
        with self._lock:
            for text, row in zip(texts, rows, strict=True):
                digest = _digest(text)
                if (ids := self._missing.pop(digest, None)) is not None:
                    self._append(digest, ids, row)

    def forget_missing(self, ids: Sequence[int]) -> None:
        """Leave out texts that can no longer be read."""
        with self._lock:
            gone = set(ids)
            self._missing = {digest: ids for digest, ids in self._missing.items() if ids[-1] not in gone}

    def _counted(self) -> tuple[int, int]:
        with self._database.read() as session:
            many, newest = session.execute(select(func.count(self._texts.id), func.max(self._texts.id))).one()
            return int(many), int(newest or 0)

    def _dated(self) -> datetime | None:
        """The date of the newest text up to the last one that was read."""
        if "created" not in self._texts:
            return None
        with self._database.read() as session:
            return session.scalar(select(func.max(self._texts.created)).where(self._texts.id <= self._last))

    def _read_up_to(self, newest: int) -> None:
        texts = self._texts
        wanted = select(texts.id, texts.text).where(texts.id <= newest)
        wanted = wanted.order_by(texts.id).limit(READ_AT_ONCE)
        while True:
            with self._database.read() as session:
                rows = session.execute(wanted.where(texts.id > self._last)).all()
            if not rows:
                return
            self._seen, self._last = self._seen + len(rows), rows[-1][0]
            new: dict[bytes, str] = {}
            for id, text in rows:
                if not isinstance(text, str) or not text.strip():
                    continue
                digest = _digest(text)
                if (place := self._places.get(digest)) is not None:
                    self._ids[place].append(id)
                else:
                    self._missing.setdefault(digest, []).append(id)
                    new[digest] = text
            known = self._embeddings.find(self._embedder, list(new.values()))
            for digest, text in new.items():
                if len(known.get(text, ())) == self._rows.shape[1]:  # a damaged one counts as missing
                    self._append(digest, self._missing.pop(digest), known[text])

    def _append(self, digest: bytes, ids: list[int], row: np.ndarray) -> None:
        count = len(self._ids)
        if count == len(self._rows):
            room = np.zeros((max(1_024, count + count // 2), self._rows.shape[1]), dtype=np.float32)
            room[:count] = self._rows
            self._rows = room
        self._rows[count] = _unit(row[None])[0]
        self._places[digest] = count
        self._ids.append(ids)


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
