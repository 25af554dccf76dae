"""Embeddings of texts, each computed once."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from melbo_app.analysis.embedding import Embedder
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import StorageError
from melbo_app.library.embeddings import Embeddings

EMBEDDED_AT_ONCE = 64
"""Texts embedded at a time: less than a second on two cores."""


def embed(texts: Sequence[str], embedder: Embedder, embeddings: Embeddings, stop: Stop = lambda: False) -> np.ndarray:
    """Embeddings [N, D] of all texts; only new texts are computed.

    ``stop`` is called before each batch. Raises Stopped; finished batches are stored.
    """
    rows: dict[str, np.ndarray] = {}
    with suppress(StorageError):
        rows = embeddings.find(embedder.identity, texts)
    missing = [text for text in dict.fromkeys(texts) if text not in rows]
    for start in range(0, len(missing), EMBEDDED_AT_ONCE):
        raise_if(stop)
        some = missing[start : start + EMBEDDED_AT_ONCE]
        new = dict(zip(some, embedder.encode(some), strict=True))
        with suppress(StorageError):
            embeddings.add(embedder.identity, new)
        rows |= new
    if len({len(row) for row in rows.values()}) > 1:  # a stored one is damaged, and we cannot tell which
        rows = dict(zip(texts, embedder.encode(texts), strict=True))
        with suppress(StorageError):
            embeddings.add(embedder.identity, rows)
    return np.stack([rows[text] for text in texts])
