"""Successive halving over cells, each a vector at an R: which to read next, and how much of each.

A few vectors are read for a few tokens at every R, the others where texts change, and the most promising cells whole.
Together this takes a quarter of the tokens that reading every cell whole would take; docs/find.md says how the schedule
was chosen, and how often it finds the best cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RADII = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""The R of the cells, as multiples of the middle one."""
SHARE = 0.25
"""Tokens that a search may take, as a share of all."""
SHORTEST, FIRST_TEXTS = 3, 3
"""Of the first two rounds: tokens, at least, and texts of a cell, at most."""
PILOT = 4
"""Vectors that are read at every R."""
MOVING = 0.5
"""The others are read where at least this share of the texts changes that changes at the R where most do."""
NEIGHBOUR, NEXT = 0.6, 0.25
"""Weights of what the same vector scores one and two R away."""
PRIOR = 0.3
"""How much those, and the mean of all, count beside a cell's own score."""
MOVED, OWN_MOVED = 1.0, 0.3
"""How much it counts, in standard deviations of the scores, that the first texts at this R differ from the unsteered
ones, and that the cell's own do: where texts hardly change, the score does not rise later."""


class Cell(NamedTuple):
    """A vector and the place of its R among those that are searched."""

    vector: int
    radius: int


class Round(NamedTuple):
    """How many texts of each cell are read, and how many tokens of a text."""

    texts: int
    tokens: int


@dataclass(frozen=True)
class Read:
    """What a cell scored in a round; its texts; and the share of them that differ from the unsteered ones."""

    score: float
    texts: tuple[str, ...]
    changed: float = 1.0


class Halving:
    """One search over so many vectors and R, in which a cell read whole has ``texts`` texts of ``tokens`` tokens.

    ``cells`` are to be read in the present ``round``, and ``tell`` says what they scored. With few cells a search takes
    more than ``SHARE``, because one is read whole in any case.
    """

    def __init__(self, vectors: int, radii: int, texts: int, tokens: int, seed: int = 0) -> None:
        numbers = np.random.default_rng(seed)
        self._every = [Cell(vector, radius) for vector in range(vectors) for radius in range(radii)]
        self._whole = Round(texts, tokens)
        self._left = SHARE * len(self._every) * texts * tokens
        self._scores, self._weights, self._moved = np.zeros((3, vectors, radii))
        self._chance = numbers.random((vectors, radii))  # decides between equals
        self.taken = 0
        """The tokens that were asked for."""
        self.reads: dict[Cell, Read] = {}
        """The latest reading of each cell."""
        self._last: list[Cell] = []
        first = min(texts, FIRST_TEXTS)
        short = max(SHORTEST, min(tokens // 3, int(self._left / 2 / (len(self._every) * first))))
        steps = [first] if first == texts else [first, texts]
        self.rounds = [Round(first, short)] * 2 + [Round(many, tokens) for many in steps]
        """Those of the search, in order."""
        pilot = set(numbers.permutation(vectors)[:PILOT].tolist())
        self.cells = [cell for cell in self._every if cell.vector in pilot]
        if short >= tokens or vectors <= PILOT:
            self.rounds, self.cells = self.rounds[1:], list(self._every)
        if short >= tokens:
            self.rounds = [self._whole]
        self._at = 0

    @property
    def round(self) -> Round | None:
        """The round to read, None at the end."""
        return self.rounds[self._at] if self._at < len(self.rounds) else None

    def tell(self, reads: Mapping[Cell, Read]) -> None:
        """Take up the reading of every one of ``cells``, and choose those of the next round."""
        now, whole = self.rounds[self._at], self._whole.tokens
        before = self.rounds[self._at - 1] if self._at else None
        known = before.texts if before is not None and before.tokens == now.tokens == whole else 0
        self.taken += len(self.cells) * (now.texts - known) * now.tokens
        for cell in self.cells:
            self.reads[cell] = reads[cell]
            self._scores[cell] = reads[cell].score
            self._weights[cell] = now.texts * now.tokens / whole
            if now.tokens < whole:
                self._moved[cell] = reads[cell].changed
        self._at, self._last = self._at + 1, self.cells
        if self.round is None:
            return
        if self.round.tokens < whole:
            self.cells = self._others()
        else:
            among = list(self.reads) if now.tokens < whole else self.cells
            self.cells = self._ranked(self._promise(), among)[: self._affordable()]

    @property
    def ranked(self) -> list[Cell]:
        """The cells of the last round that was read, best first by their own scores."""
        return self._ranked(self._scores, self._last)

    def _others(self) -> list[Cell]:
        """The other vectors, at the R where texts change."""
        moved = self._moving()
        return [
            cell for cell in self._every if cell not in self.reads and moved[cell.radius] >= MOVING * moved.max()
        ]  # fmt: skip

    def _moving(self) -> np.ndarray:
        """The share of changed texts at each R."""
        read = self._weights > 0
        return (self._moved * read).sum(axis=0) / np.maximum(1, read.sum(axis=0))

    def _affordable(self) -> int:
        """How many cells can be read in this round, if the rounds to come get as much each."""
        now, before = self.rounds[self._at], self.rounds[self._at - 1]
        known = before.texts if before.tokens == now.tokens else 0
        share = max(0.0, self._left - self.taken) / (len(self.rounds) - self._at)
        return max(1, int(share / ((now.texts - known) * now.tokens)))

    def _promise(self) -> np.ndarray:
        """How likely a cell is to score high when it is read whole."""
        scores, read = self._likely(), self._weights > 0
        spread = float(scores[read].std())
        promise = (scores - scores[read].mean()) / spread if spread > 0 else np.zeros_like(scores)
        return promise + MOVED * (self._moving() + OWN_MOVED * (self._moved > 0))

    def _likely(self) -> np.ndarray:
        """The scores, drawn a little towards those of the same vector at the next R, and towards the mean."""
        own, weights = self._scores * self._weights, self._weights
        near, beside = np.zeros_like(own), np.zeros_like(own)
        for away, weight in ((1, NEIGHBOUR), (2, NEXT)):
            near[:, away:] += weight * own[:, :-away]
            near[:, :-away] += weight * own[:, away:]
            beside[:, away:] += weight * weights[:, :-away]
            beside[:, :-away] += weight * weights[:, away:]
        usual, mean = 0.5 * weights.mean(), own.sum() / weights.sum()
        expected = (near + usual * mean) / (beside + usual)
        return (own + PRIOR * expected) / (weights + PRIOR)

    def _ranked(self, scores: np.ndarray, among: Sequence[Cell]) -> list[Cell]:
        """Cells by score; of equals, changed texts before unchanged ones, and each text once before its repetitions."""
        seen: dict[tuple[str, ...], int] = {}
        keys = {}
        cells = sorted(among, key=lambda cell: self._chance[cell])
        for cell in cells:
            read = self.reads[cell]
            again = seen.get(read.texts, 0)
            seen[read.texts] = again + 1
            keys[cell] = (-round(float(scores[cell]), 9), read.changed == 0, again)
        return sorted(cells, key=lambda cell: keys[cell])
