"""Similarity of the vectors of a bank."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypedDict

import numpy as np
from pydantic import Field

from melbo_app.analysis.order import Tree, ward_tree
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import StorageError
from melbo_app.jobs.bench import EXAMPLE, Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice

MOST_READ = 5_000
"""Stored texts that are compared, the newest."""


@dataclass(frozen=True)
class Similarity:
    """Pairwise cosines [V, V] of the changes that vectors make (δ), of the vectors (θ), and of their texts."""

    delta: np.ndarray
    theta: np.ndarray
    tree: Tree
    """The vectors in an order that puts similar ones (by δ) next to each other."""
    mean_delta: float | None
    """Mean off the diagonal; None for a single vector."""
    mean_theta: float | None
    scope: str
    texts: np.ndarray | None = None
    """Cosines of the mean embeddings of the vectors' stored texts on these prompts, NaN where one has none; None where
    no vector has any, or nobody asked."""

    @property
    def order(self) -> list[int]:
        """The vectors, similar ones together."""
        return self.tree.order

    @property
    def without_texts(self) -> list[int]:
        """The vectors that have no stored text."""
        alone = [] if self.texts is None else np.isnan(np.diagonal(self.texts)).tolist()
        return [vector for vector, none in enumerate(alone) if none]

    @property
    def mean_texts(self) -> float | None:
        """Mean of ``texts`` off the diagonal, without the vectors that have none."""
        if self.texts is None:
            return None
        between = self.texts[~np.eye(len(self.texts), dtype=bool)]
        known = between[np.isfinite(between)]
        return float(known.mean()) if known.size else None


class Cosines(TypedDict):
    """``matrix`` [V][V] holds cosines of the changes that vectors make (δ), ``theta`` those of the vectors, ``texts``
    those of their stored texts (null where a vector has none)."""

    bank: str
    scope: str
    matrix: list[list[float]]
    theta: list[list[float]]
    texts: list[list[float | None]] | None
    order: list[int]
    mean_off_diagonal: float | None
    mean_off_diagonal_theta: float | None


class Compare(Study[Similarity]):
    """Which vectors of a bank do the same: cosines of their changes at the target layer, and of the vectors.

    Returns:
        matrix [V][V] (of the changes), theta [V][V] (of the vectors), texts [V][V] (of the stored texts, null without),
        order (similar ones together) and the means of the first two
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
        scope, lm = TokenScope.parse(self.scope), bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        yield Progress("comparing", 0, len(bank.vectors))
        record = bank.record
        prompts = self.prompts or prompts_of(bank, lm)
        piece = bench.slices.slice(lm, prompts, record.source, record.target, stop)
        compared = bench.compute.result(compare(piece, bank, scope, bench.compute.giving_way(stop)))
        return replace(compared, texts=compare_texts(bench, bank, prompts, stop))

    def answer(self, result: Similarity, not_kept: str | None) -> Cosines:
        return {
            "bank": self.bank,
            "scope": result.scope,
            "matrix": result.delta.tolist(),
            "theta": result.theta.tolist(),
            "texts": None if result.texts is None else _with_gaps(result.texts),
            "order": result.order,
            "mean_off_diagonal": result.mean_delta,
            "mean_off_diagonal_theta": result.mean_theta,
        }

    def lines(self, result: Similarity) -> list[str]:
        mean = "one vector only" if result.mean_delta is None else f"mean off the diagonal {result.mean_delta:.3f}"
        rows = ["  ".join(f"{value:6.3f}" for value in row) for row in result.delta]
        return [f"δ cosines over {result.scope}: {mean}", *rows]


def _with_gaps(matrix: np.ndarray) -> list[list[float | None]]:
    """The matrix as JSON, which has no NaN."""
    return [[float(one) if np.isfinite(one) else None for one in row] for row in matrix]


def prompts_of(bank: Bank, lm: "LanguageModel") -> list[Prompt]:
    """The training prompts of a bank, or the example if it has none."""
    own = [entry.asked for entry in bank.record.prompts]
    return own or [Prompt(EXAMPLE.user, template=lm.usual_template)]


def compare_texts(bench: Bench, bank: Bank, prompts: Sequence[Prompt], stop: Stop = never) -> np.ndarray | None:
    """Cosines [V, V] of the mean embeddings of each vector's stored texts on these prompts, NaN where one has none;
    None where no vector has any. Raises Stopped."""
    stored: Sequence[Completion] = ()
    with suppress(StorageError):  # compare the rest
        stored = bench.completions.of_bank(bank.hash, [prompt.user for prompt in prompts])
    asked = {(prompt.user, prompt.system or None) for prompt in prompts}
    stored = [one for one in stored if (one.prompt.user, one.prompt.system or None) in asked][:MOST_READ]
    count = len(bank.vectors)
    own: list[list[int]] = [[] for _ in range(count)]
    for at, one in enumerate(stored):
        if isinstance(one.vector, int) and one.vector < count:
            own[one.vector].append(at)
    if not any(own):
        return None
    try:
        rows = bench.embed([one.text for one in stored], stop).astype(np.float64)
    except StorageError:  # the embedder's weights are missing
        return None
    nothing = np.full(rows.shape[1], np.nan)
    means = np.array([rows[mine].mean(axis=0) if mine else nothing for mine in own])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.clip(means @ means.T, -1, 1)


def compare(piece: "ModelSlice", bank: Bank, scope: TokenScope, stop: Stop = never) -> Generator[int, None, Similarity]:
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
        ward_tree(delta.numpy()),
        mean_off_diagonal(delta),
        mean_off_diagonal(theta),
        str(scope),
    )
