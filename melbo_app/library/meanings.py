"""The embeddings of all stored texts in memory, to find the texts nearest in meaning to a sentence."""

import hashlib
import threading
from collections.abc import Sequence

import numpy as np
from sqlalchemy import func, select

from melbo_app.library.database import Database, InDatabase
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.tables import CompletionRow

READ_AT_ONCE = 5_000
"""Texts read from the database at a time."""


class Meanings(InDatabase):
    """One row for each distinct stored text: float32, length 1. 100,000 texts take 154 MB.

    The rows are read once and then appended. Thread-safe. Every method raises StorageError if the database cannot be
    used.
    """

    def __init__(self, database: Database, embeddings: Embeddings) -> None:
        super().__init__(database)
        self._embeddings, self._lock = embeddings, threading.RLock()
        self._empty("", 0)

    def _empty(self, embedder: str, size: int) -> None:
        self._embedder = embedder
        self._seen = self._last = 0  # how many completions were read, and the number of the last one
        self._places: dict[bytes, int] = {}  # the row of a text
        self._ids: list[int] = []  # of each row, the newest completion that says so
        self._missing: dict[bytes, int] = {}  # the same of texts without an embedding
        self._rows = np.zeros((0, size), dtype=np.float32)  # with room at the end

    def refresh(self, embedder: str, size: int) -> None:
        """Read the completions that were stored since the last call, with their embeddings [``size``] by ``embedder``,
        as far as they are there."""
        with self._lock:
            many, newest = self._counted()
            if embedder != self._embedder or newest < self._last or many < self._seen:
                self._empty(embedder, size)
            self._read_up_to(newest)
            if self._seen != many:  # some were removed, or numbered late
                self._empty(embedder, size)
                self._read_up_to(newest)

    def nearest(self, row: np.ndarray, most: int) -> list[tuple[int, float]]:
        """The numbers of the completions nearest to an embedding, with their cosines, nearest first."""
        with self._lock:
            count = len(self._ids)
            if not count or most < 1:
                return []
            cosines = self._rows[:count] @ _unit(row[None])[0]
            first = np.argpartition(-cosines, min(most, count) - 1)[:most]
            first = first[np.argsort(-cosines[first], kind="stable")]
            return [(self._ids[place], float(cosines[place])) for place in first]

    def missing(self, most: int) -> list[int]:
        """The numbers of the newest completions whose text has no embedding yet, one for each text."""
        with self._lock:
            return sorted(self._missing.values(), reverse=True)[:most]

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of distinct texts with and without an embedding."""
        return len(self._ids), len(self._missing)

    def add(self, texts: Sequence[str], rows: np.ndarray) -> None:
        """Take up the embeddings [N, D] of stored texts."""
        with self._lock:
            for text, row in zip(texts, rows, strict=True):
                digest = _digest(text)
                if (id := self._missing.pop(digest, None)) is not None:
                    self._append(digest, id, row)

    def forget_missing(self, ids: Sequence[int]) -> None:
        """Leave out completions that can no longer be read."""
        with self._lock:
            gone = set(ids)
            self._missing = {digest: id for digest, id in self._missing.items() if id not in gone}

    def _counted(self) -> tuple[int, int]:
        with self._database.read() as session:
            many, newest = session.execute(select(func.count(), func.max(CompletionRow.id))).one()
            return int(many), int(newest or 0)

    def _read_up_to(self, newest: int) -> None:
        wanted = select(CompletionRow.id, CompletionRow.text).where(CompletionRow.id <= newest)
        wanted = wanted.order_by(CompletionRow.id).limit(READ_AT_ONCE)
        while True:
            with self._database.read() as session:
                rows = session.execute(wanted.where(CompletionRow.id > self._last)).all()
            if not rows:
                return
            self._seen, self._last = self._seen + len(rows), rows[-1][0]
            new: dict[bytes, str] = {}
            for id, text in rows:
                if not isinstance(text, str) or not text.strip():
                    continue
                digest = _digest(text)
                if (place := self._places.get(digest)) is not None:
                    self._ids[place] = id
                else:
                    self._missing[digest], new[digest] = id, text
            known = self._embeddings.find(self._embedder, list(new.values()))
            for digest, text in new.items():
                if len(known.get(text, ())) == self._rows.shape[1]:  # a damaged one counts as missing
                    self._append(digest, self._missing.pop(digest), known[text])

    def _append(self, digest: bytes, id: int, row: np.ndarray) -> None:
        count = len(self._ids)
        if count == len(self._rows):
            room = np.zeros((max(1_024, count + count // 2), self._rows.shape[1]), dtype=np.float32)
            room[:count] = self._rows
            self._rows = room
        self._rows[count] = _unit(row[None])[0]
        self._places[digest] = count
        self._ids.append(id)


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
