"""Successive halving over cells, each a vector at an R: which to read next, and how much of each.

Every cell is read for a few tokens, and the most promising are read whole. The rounds together take a quarter of the
tokens that reading every cell whole would take; docs/find.md says how this schedule was chosen, and how often it finds
the best cell.
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
"""Of the first round: tokens, at least, and texts of a cell, at most."""
NEIGHBOUR, NEXT = 0.6, 0.25
"""Weights of what the same vector scores one and two R away."""
PRIOR = 0.3
"""How much those, and the mean of all, count beside a cell's own score."""
MOVED, OWN_MOVED = 1.0, 0.3
"""How much it counts, in standard deviations of the scores, that most texts at this R differ from the unsteered ones
after the first round, and that the cell's own do: where texts hardly change, the score does not rise later."""


class Cell(NamedTuple):
    """A vector and the place of its R among those that are searched."""

    vector: int
    radius: int


class Round(NamedTuple):
    """How many cells are read, how many texts of each, and how many tokens of a text."""

    cells: int
    texts: int
    tokens: int


@dataclass(frozen=True)
class Read:
    """What a cell scored in a round; its texts; and the share of them that differ from the unsteered ones."""

    score: float
    texts: tuple[str, ...]
    changed: float = 1.0


def rounds(cells: int, texts: int, tokens: int, share: float = SHARE) -> list[Round]:
    """The rounds of a search over so many cells, each of which takes ``texts`` texts of ``tokens`` tokens to read
    whole. With few cells they take more than ``share``, because one is read whole in any case."""
    half, first = share * cells * texts * tokens / 2, min(texts, FIRST_TEXTS)
    short = max(SHORTEST, min(tokens // 3, int(half / (cells * first))))
    if short >= tokens:
        return [Round(cells, texts, tokens)]
    found, steps = [Round(cells, first, short)], [first, *([] if first == texts else [texts])]
    left = max(0.0, 2 * half - cells * first * short)
    for before, many in zip([0, *steps], steps, strict=False):
        count = int(left / len(steps) / ((many - before) * tokens))
        found.append(Round(max(1, min(found[-1].cells, count)), many, tokens))
    return found


def taken(plan: Sequence[Round]) -> int:
    """The tokens of these rounds; whole texts of an earlier round are not read again."""
    total = known = 0
    for one in plan:
        is_whole = one.tokens == plan[-1].tokens
        total += one.cells * (one.texts - (known if is_whole else 0)) * one.tokens
        known = one.texts if is_whole else 0
    return total


class Halving:
    """One search: ``cells`` are to be read next, and ``tell`` says what they scored."""

    def __init__(self, vectors: int, radii: int, plan: Sequence[Round], seed: int = 0) -> None:
        self._plan, self._at = plan, 0
        self._scores, self._weights = np.zeros((vectors, radii)), np.zeros((vectors, radii))
        self._moved = np.zeros((vectors, radii))
        self._chance = np.random.default_rng(seed).random((vectors, radii))  # decides between equals
        self.reads: dict[Cell, Read] = {}
        """The latest reading of each cell."""
        self._last = list[Cell]()
        self.cells = [Cell(vector, radius) for vector in range(vectors) for radius in range(radii)]

    @property
    def round(self) -> Round | None:
        """The round to read, None at the end."""
        return self._plan[self._at] if self._at < len(self._plan) else None

    def tell(self, reads: Mapping[Cell, Read]) -> None:
        """Take up the reading of every one of ``cells``, and choose those of the next round."""
        now = self._plan[self._at]
        for cell in self.cells:
            self.reads[cell] = reads[cell]
            self._scores[cell] = reads[cell].score
            self._weights[cell] = now.texts * now.tokens / self._plan[-1].tokens
            if self._at == 0:
                self._moved[cell] = reads[cell].changed
        self._at, self._last = self._at + 1, self.cells
        if self.round is not None:
            self.cells = self._ranked(self._promise(), self.cells)[: self.round.cells]

    @property
    def ranked(self) -> list[Cell]:
        """The cells of the last round that was read, best first by their own scores."""
        return self._ranked(self._scores, self._last)

    def _promise(self) -> np.ndarray:
        """How likely a cell is to score high when it is read whole."""
        scores = self._likely()
        spread = float(scores.std())
        promise = (scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores)
        return promise + MOVED * (self._moved.mean(axis=0) + OWN_MOVED * (self._moved > 0))

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
        cells = sorted(among, key=lambda cell: self._chance[cell])
        seen: dict[tuple[str, ...], int] = {}
        keys = {}
        for cell in cells:
            read = self.reads[cell]
            again = seen.get(read.texts, 0)
            seen[read.texts] = again + 1
            keys[cell] = (-round(float(scores[cell]), 9), read.changed == 0, again)
        return sorted(cells, key=lambda cell: keys[cell])
