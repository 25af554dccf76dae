"""The next tokens that the vectors of a bank promote and suppress."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.engine.stopping import Stop
from melbo_app.library.bank import Bank

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.slice import ModelSlice


@dataclass(frozen=True)
class VectorTokens:
    """Texts of tokens and the change of their log-probability in nats, the most changed first."""

    vector: int
    promoted: list[tuple[str, float]]
    suppressed: list[tuple[str, float]]


def vector_tokens(
    piece: "ModelSlice",
    bank: Bank,
    vectors: Sequence[int],
    count: int,
    radius: float | None = None,
    stop: Stop = lambda: False,
) -> Generator[int, None, list[VectorTokens]]:
    """The top tokens of a bank's vectors, all with the norm ``radius`` (below 0 they point the other way) or each with
    the one that it has in the bank. Yields the number of vectors done.
    Raises Stopped where ``stop()`` became true."""
    from melbo_app.engine.encoding import token_text
    from melbo_app.engine.top_tokens import top_tokens

    rows = bank.vectors[list(vectors)]
    if radius is not None:
        rows = (radius * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = yield from top_tokens(piece, rows, count, stop=stop)
    return [
        VectorTokens(
            vector,
            [(token_text(piece.lm, token), by) for token, by in top.promoted],
            [(token_text(piece.lm, token), by) for token, by in top.suppressed],
        )
        for vector, top in zip(vectors, found, strict=True)
    ]
