"""Embeddings and projections: made once, and looked up for as long as texts, embedder and layout are the same."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select

from melbo_app.analysis.projection import LAYOUT, Projection
from melbo_app.library.database import Database
from melbo_app.library.tables import EmbeddingRow, ProjectionRow

AT_ONCE = 500  # hashes in one statement


class Embeddings:
    """The places of texts, and those of their points on maps, in ``database``. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, embedder: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Those of ``texts`` that the embedder with this hash embedded before, each with its row [D] float32."""
        hashes = {_hash(text): text for text in texts}
        wanted = sorted(hashes)
        found = {}
        with self._database.read() as session:
            for start in range(0, len(wanted), AT_ONCE):
                some = EmbeddingRow.text_hash.in_(wanted[start : start + AT_ONCE])
                rows = select(EmbeddingRow.text_hash, EmbeddingRow.vector).where(
                    some, EmbeddingRow.embedder == embedder
                )
                for digest, vector in session.execute(rows):
                    found[hashes[digest]] = np.frombuffer(vector, dtype="<f4")
        return found

    def add(self, embedder: str, rows: dict[str, np.ndarray]) -> None:
        """Keep the rows [D] of texts by the embedder with this hash."""
        with self._database.write() as session:
            for text, row in rows.items():
                vector = np.ascontiguousarray(row, dtype="<f4").tobytes()
                session.merge(EmbeddingRow(text_hash=_hash(text), embedder=embedder, vector=vector))

    def find_projection(self, embedder: str, texts: Sequence[str]) -> Projection | None:
        """The layout of these texts' points in this order, by the present way to lay them out, or None."""
        with self._database.read() as session:
            row = session.get(ProjectionRow, _projection_key(embedder, texts))
            if row is None:
                return None
            places = np.frombuffer(row.places, dtype="<f4").reshape(-1, 2)
            return Projection(places, "UMAP" if row.method == "UMAP" else "PCA", row.note)

    def add_projection(self, embedder: str, texts: Sequence[str], projection: Projection) -> None:
        """Keep the layout of these texts' points."""
        places = np.ascontiguousarray(projection.xy, dtype="<f4").tobytes()
        key = _projection_key(embedder, texts)
        with self._database.write() as session:
            session.merge(ProjectionRow(key=key, method=projection.method, note=projection.note, places=places))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _projection_key(embedder: str, texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([embedder, LAYOUT, *map(_hash, texts)]).encode()).hexdigest()
