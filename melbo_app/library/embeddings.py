"""Embeddings and projections, computed once and looked up while texts, embedder and layout stay the same."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import select

from melbo_app.analysis.projection import LAYOUT, Projection
from melbo_app.library.damage import Damage, read_each
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import Text
from melbo_app.library.tables import EmbeddingRow, ProjectionRow

AT_ONCE = 500  # hashes in one statement
_NOTE = TypeAdapter(Text)


class Embeddings(InDatabase):
    """Embeddings of texts and layouts of maps in ``database``. Every method raises StorageError."""

    def find(self, embedder: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The known embeddings of ``texts`` by the embedder with this hash, each [D] float32."""
        hashes = {_hash(text): text for text in texts}
        wanted = sorted(hashes)
        found = {}
        with self._database.read() as session:
            for start in range(0, len(wanted), AT_ONCE):
                some = EmbeddingRow.text_hash.in_(wanted[start : start + AT_ONCE])
                rows = select(EmbeddingRow.text_hash, EmbeddingRow.vector)
                rows = rows.where(some, EmbeddingRow.embedder == embedder)
                # a damaged embedding counts as missing and is computed again
                for digest, vector in read_each(session.execute(rows), _embedding, str):
                    found[hashes[digest]] = vector
        return found

    def add(self, embedder: str, rows: dict[str, np.ndarray]) -> None:
        """Store the embeddings [D] of texts by the embedder with this hash."""
        with self._database.write() as session:
            for text, row in rows.items():
                vector = np.ascontiguousarray(row, dtype="<f4").tobytes()
                session.merge(EmbeddingRow(text_hash=_hash(text), embedder=embedder, vector=vector))

    def find_projection(self, embedder: str, texts: Sequence[str]) -> Projection | None:
        """The layout of these texts in this order by the current method, or None."""
        with self._database.read() as session:
            row = session.get(ProjectionRow, _projection_key(embedder, texts))
            found = read_each([] if row is None else [row], _projection, str)
        return next((one for one in found if len(one.xy) == len(texts)), None)

    def damaged(self) -> list[Damage]:
        """Embeddings and layouts that cannot be read; they are computed again when needed."""
        with self._database.read() as session:
            rows = session.execute(select(EmbeddingRow.text_hash, EmbeddingRow.vector))
            found = read_each(rows, _embedding, lambda row: f"embedding {str(row[0])[:16]}").damaged
            layouts = session.scalars(select(ProjectionRow))
            return [*found, *read_each(layouts, _projection, lambda row: f"layout {str(row.key)[:16]}").damaged]

    def add_projection(self, embedder: str, texts: Sequence[str], projection: Projection) -> None:
        """Store the layout of these texts."""
        places = np.ascontiguousarray(projection.xy, dtype="<f4").tobytes()
        key = _projection_key(embedder, texts)
        with self._database.write() as session:
            session.merge(ProjectionRow(key=key, method=projection.method, note=projection.note, places=places))


def _embedding(row: Any) -> tuple[str, np.ndarray]:
    return row[0], _finite(np.frombuffer(row[1], dtype="<f4"))


def _projection(row: ProjectionRow) -> Projection:
    places = _finite(np.frombuffer(row.places, dtype="<f4")).reshape(-1, 2)
    return Projection(places, "UMAP" if row.method == "UMAP" else "PCA", _NOTE.validate_python(row.note))


def _finite(numbers: np.ndarray) -> np.ndarray:
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("it should hold finite numbers")
    return numbers


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _projection_key(embedder: str, texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([embedder, LAYOUT, *map(_hash, texts)]).encode()).hexdigest()
