"""Successive halving over cells, each a vector at an R: which to read next, and how far.

Every cell, or those where texts change, is read for a few tokens, and ever fewer of them are continued, until the most
promising ones are whole. Together this takes a quarter of the tokens that reading every cell whole would take;
docs/find.md says how the schedule was chosen, and how often it finds the best cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RADII = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""The R of the cells, as multiples of the middle one."""
SHARE = 0.25
"""Tokens that a search may take, as a share of all."""
ROUNDS = ((0.075, 0.0), (0.2, 0.25), (0.4, 0.35), (0.625, 0.4), (1.0, 1.0))
"""How far texts are read, as a share of the longest, and how much of the tokens that are left each round may take; the
first takes what it needs."""
SHORTEST = 3
"""Tokens of the first round, at least."""
PILOT = 4
"""Vectors that are read at every R."""
MOVING = 0.4
"""The others are read where at least this share of the texts changes that changes at the R where most do."""
NEIGHBOUR, NEXT = 0.6, 0.25
"""Weights of what the same vector scores one and two R away."""
PRIOR = 0.3
"""How much those, and the mean of all, count beside a cell's own score."""
MOVED, OWN_MOVED = 2.0, 0.3
"""How much it counts, in standard deviations of the scores, that texts at this R differ from the unsteered ones, and
that the cell's own do: where texts hardly change, the score does not rise later."""
AGAIN, MOST_AGAIN = 0.3, 3
"""How much it counts against a cell that others with the same text are before it, for each, and for how many."""


class Cell(NamedTuple):
    """A vector and the place of its R among those that are searched."""

    vector: int
    radius: int


@dataclass(frozen=True)
class Read:
    """What a cell scored in a round; its texts; and the share of them that differ from the unsteered ones."""

    score: float
    texts: tuple[str, ...]
    changed: float = 1.0


class Halving:
    """One search over so many vectors and R, in which a cell read whole has ``texts`` texts of ``tokens`` tokens.

    ``cells`` are to be read in the present ``round``, from where they were left, and ``tell`` says what they scored.
    With few cells a search takes more than ``SHARE``, because one is read whole in any case.
    """

    def __init__(self, vectors: int, radii: int, texts: int, tokens: int, seed: int = 0) -> None:
        numbers = np.random.default_rng(seed)
        self._every = [Cell(vector, radius) for vector in range(vectors) for radius in range(radii)]
        self._texts, self._whole = texts, tokens
        self._budget = SHARE * len(self._every) * texts * tokens
        self._scores, self._moved = np.zeros((2, vectors, radii))
        self._tokens = np.zeros((vectors, radii), int)  # so far, of each text of a cell
        self._chance = numbers.random((vectors, radii))  # decides between equals
        self.reads: dict[Cell, Read] = {}
        """The latest reading of each cell."""
        self._last: list[Cell] = []
        lengths: dict[int, float] = {}
        for share, part in ROUNDS:
            lengths.setdefault(min(tokens, max(SHORTEST, round(share * tokens))), part)
        self.rounds = [*lengths]
        """How many tokens of a text are read in each."""
        self._parts = [*lengths.values()]
        pilot = set(numbers.permutation(vectors)[:PILOT].tolist())
        self.cells = [cell for cell in self._every if cell.vector in pilot]
        if len(self.rounds) == 1 or vectors <= PILOT:
            self.cells = list(self._every)
        else:  # the first round in two parts
            self.rounds, self._parts = [self.rounds[0], *self.rounds], [self._parts[0], *self._parts]
        self._at = 0

    @property
    def round(self) -> int | None:
        """The tokens of the round to read, None at the end."""
        return self.rounds[self._at] if self._at < len(self.rounds) else None

    @property
    def taken(self) -> int:
        """The tokens that were asked for."""
        return int(self._tokens.sum()) * self._texts

    def tell(self, reads: Mapping[Cell, Read]) -> None:
        """Take up the reading of every one of ``cells``, and choose those of the next round."""
        now = self.rounds[self._at]
        for cell in self.cells:
            self.reads[cell] = reads[cell]
            self._scores[cell], self._tokens[cell] = reads[cell].score, now
            if now < self._whole:
                self._moved[cell] = reads[cell].changed
        self._at, self._last = self._at + 1, self.cells
        if self.round == now:
            self.cells = self._others()
        elif self.round is not None:
            self.cells = self._affordable(self.round)

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
        read = self._tokens > 0
        return (self._moved * read).sum(axis=0) / np.maximum(1, read.sum(axis=0))

    def _affordable(self, tokens: int) -> list[Cell]:
        """The most promising cells that can be read so far in this round, one at least."""
        left, chosen = (self._budget - self.taken) * self._parts[self._at], list[Cell]()
        for cell in self._ranked(self._promise(), [*self.reads], AGAIN):
            left -= (tokens - self._tokens[cell]) * self._texts
            if left < 0 and chosen:
                break
            chosen.append(cell)
        return chosen

    def _promise(self) -> np.ndarray:
        """How likely a cell is to score high when it is read whole."""
        scores, read = self._likely(), self._tokens > 0
        mean, spread = self._scores[read].mean(), float(self._scores[read].std())
        promise = (scores - mean) / spread if spread > 0 else np.zeros_like(scores)
        return promise + MOVED * self._moving() + OWN_MOVED * (self._moved > 0)

    def _likely(self) -> np.ndarray:
        """The scores, drawn a little towards those of the same vector at the next R, and towards the mean."""
        weights = self._tokens * self._texts / self._whole
        own = self._scores * weights
        near, beside = np.zeros_like(own), np.zeros_like(own)
        for away, weight in ((1, NEIGHBOUR), (2, NEXT)):
            near[:, away:] += weight * own[:, :-away]
            near[:, :-away] += weight * own[:, away:]
            beside[:, away:] += weight * weights[:, :-away]
            beside[:, :-away] += weight * weights[:, away:]
        usual, mean = 0.5 * weights.mean(), own.sum() / weights.sum()
        expected = (near + usual * mean) / (beside + usual)
        return (own + PRIOR * expected) / (weights + PRIOR)

    def _ranked(self, scores: np.ndarray, among: Sequence[Cell], again: float = 0.0) -> list[Cell]:
        """Cells by score, less ``again`` for each one before it with the same texts; of equals, changed texts before
        unchanged ones, and each text once before its repetitions."""
        plain = {cell: (-round(float(scores[cell]), 9), self.reads[cell].changed == 0) for cell in among}
        seen: dict[tuple[str, ...], int] = {}
        keys = {}
        for cell in sorted(among, key=lambda cell: (*plain[cell], self._chance[cell])):
            before = seen.get(self.reads[cell].texts, 0)
            seen[self.reads[cell].texts] = before + 1
            score, still = plain[cell]
            keys[cell] = (score + again * min(before, MOST_AGAIN), still, before)
        return sorted(keys, key=lambda cell: keys[cell])
