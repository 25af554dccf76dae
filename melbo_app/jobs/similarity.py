"""How alike the vectors of a bank are."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.analysis.order import clustered_order
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.library.bank import Bank

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.slice import ModelSlice


@dataclass(frozen=True)
class Similarity:
    """Pairwise cosines [V, V] of what the vectors change (δ) and of the vectors themselves (θ)."""

    delta: np.ndarray
    theta: np.ndarray
    order: list[int]
    """Vectors with alike ones next to each other, by δ."""
    mean_delta: float | None
    """Mean off the diagonal; None for a single vector."""
    mean_theta: float | None
    scope: str


def compare(
    piece: "ModelSlice", bank: Bank, scope: TokenScope, stop: Stop = lambda: False
) -> Generator[int, None, Similarity]:
    """Cosines of a bank's vectors and of what they change in ``piece`` over the tokens in scope.

    Yields the number of vectors done. Raises Stopped where ``stop()`` became true.
    """
    from melbo_app.engine.memory import give_back
    from melbo_app.engine.similarity import cosines, delta_cosines, mean_off_diagonal

    vectors = bank.vectors.copy()  # a bank's own cannot be written to, and torch warns of such
    delta = yield from delta_cosines(piece, vectors, scope, stop=stop)
    theta = cosines(vectors)
    give_back()
    return Similarity(
        delta.numpy(),
        theta.numpy(),
        clustered_order(delta.numpy()),
        mean_off_diagonal(delta),
        mean_off_diagonal(theta),
        str(scope),
    )
