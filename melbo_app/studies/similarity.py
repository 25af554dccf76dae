"""Similarity of the vectors of a bank."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypedDict

import numpy as np
from pydantic import Field

from melbo_app.analysis.order import clustered_order
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import EXAMPLE, Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice


@dataclass(frozen=True)
class Similarity:
    """Pairwise cosines [V, V] of the changes that vectors make (δ) and of the vectors (θ)."""

    delta: np.ndarray
    theta: np.ndarray
    order: list[int]
    """The vectors in an order that puts similar ones (by δ) next to each other."""
    mean_delta: float | None
    """Mean off the diagonal; None for a single vector."""
    mean_theta: float | None
    scope: str


class Cosines(TypedDict):
    """``matrix`` [V][V] holds cosines of the changes that vectors make (δ), ``theta`` those of the vectors."""

    bank: str
    scope: str
    matrix: list[list[float]]
    theta: list[list[float]]
    order: list[int]
    mean_off_diagonal: float | None
    mean_off_diagonal_theta: float | None


class Compare(Study[Similarity]):
    """Which vectors of a bank do the same: cosines of their changes at the target layer, and of the vectors.

    Returns:
        matrix [V][V] (of the changes), theta [V][V] (of the vectors), order (similar ones together) and both means
    """

    kind: ClassVar[str] = "similarity"
    how: ClassVar[How] = "compute"

    bank: str = Field(description="name of the bank")
    prompts: tuple[Prompt, ...] | None = Field(
        None, description="user texts to measure on; left out: the bank's training prompts"
    )
    scope: str = Field("content", description="tokens that count: all, content, assistant or last:4")

    def check(self, bench: Bench) -> None:
        TokenScope.parse(self.scope)
        bench.banks.load(self.bank)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Similarity]:
        scope, lm = TokenScope.parse(self.scope), bench.model.get()
        bank = bench.bank_for(lm, self.bank)
        yield Progress("comparing", 0, len(bank.vectors))
        record = bank.record
        piece = bench.slices.slice(lm, self.prompts or prompts_of(bank, lm), record.source, record.target, stop)
        return bench.compute.result(compare(piece, bank, scope, bench.compute.giving_way(stop)))

    def answer(self, result: Similarity, not_kept: str | None) -> Cosines:
        return {
            "bank": self.bank,
            "scope": result.scope,
            "matrix": result.delta.tolist(),
            "theta": result.theta.tolist(),
            "order": result.order,
            "mean_off_diagonal": result.mean_delta,
            "mean_off_diagonal_theta": result.mean_theta,
        }

    def lines(self, result: Similarity) -> list[str]:
        mean = "one vector only" if result.mean_delta is None else f"mean off the diagonal {result.mean_delta:.3f}"
        rows = ["  ".join(f"{value:6.3f}" for value in row) for row in result.delta]
        return [f"δ cosines over {result.scope}: {mean}", *rows]


def prompts_of(bank: Bank, lm: "LanguageModel") -> list[Prompt]:
    """The training prompts of a bank, or the example if it has none."""
    own = [entry.asked for entry in bank.record.prompts]
    return own or [Prompt(EXAMPLE.user, template=lm.usual_template)]


def compare(
    piece: "ModelSlice", bank: Bank, scope: TokenScope, stop: Stop = lambda: False
) -> Generator[int, None, Similarity]:
    """Cosines of a bank's vectors and of their changes in ``piece``, over the tokens in scope.

    Yields the number of finished vectors. Raises Stopped.
    """
    from melbo_app.engine.memory import give_back
    from melbo_app.engine.similarity import cosines, delta_cosines, mean_off_diagonal

    vectors = bank.vectors.copy()  # the bank's own array is read-only, and torch would warn
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
