"""``python -m benchmarks.finding [FOLDER]``: how often a search for a text finds the best cell of all.

A cell is a vector at an R, 16 × 6 of them. The best is the cell with the highest score when every cell is read whole.
On made-up cells (``made_up_cells.py``), and on real ones: SmolLM2's texts under a bank trained on three prompts, for
two sets of prompts, read whole once (kept in FOLDER, by default a temporary one) and then searched again and again,
with other chances and other orders of the prompts. Searches in which no cell scores, or all score the same, are left
out. Tokens are counted as asked for, whether or not a text ends before.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex

from benchmarks.finding_cells import TOKENS, VECTORS, Grid, grids
from benchmarks.made_up_cells import made_up
from melbo_app.analysis.flags import flags
from melbo_app.settings import Settings
from melbo_app.studies.find_schedule import RADII, Cell, Halving, Read
from melbo_app.workbench import Workbench

RUNS, SEEDS = 1_000, 60
PATTERNS = (
    r"\bI am\b", r"\d", r"(?i)sorry|can't|cannot", r"\?", r"(?i)\bhelp", r"(?i)\bsteps?\b|\bfirst\b", r"\n\s*[-*\d]",
    r"(?i)\b(sea|ocean|waves?)\b", r"(?i)honest", "!",
)  # fmt: skip
FLAGS = ("refusal gone", "persona changed", "answer changed", "instructions echoed")
MEANINGS = (
    "It says that it is a person.", "It asks a question back.", "It apologises and refuses.", "A list of steps.",
    "It talks about the sea.", "It gives a number.", "It praises honesty.", "It talks about food.",
)  # fmt: skip
Score = Callable[[int, int, int, int], float]
"""Of a vector, an R, a text and a number of tokens."""
Said = Callable[[int, int, int, int], tuple[str, bool]]
"""The text, and whether it differs from the unsteered one."""


@dataclass
class Tally:
    """Searches; how many found the best cell, and how many one of the three best."""

    runs: int = 0
    found: int = 0
    near: int = 0
    left_out: int = 0
    taken: float = 0.0

    @property
    def share(self) -> str:
        """The tokens of a search, as a share of all."""
        return f"{100 * self.taken / max(1, self.runs):.1f} %"

    def __str__(self) -> str:
        best, near = (f"{100 * count / max(1, self.runs):.1f} %" for count in (self.found, self.near))
        return f"{best} | {near} | {self.runs:,} ({self.left_out} left out)"


def main() -> None:
    """Measure and print tables."""
    print("| cells | texts of a cell | tokens, of all | best found | one of the three best | searches |")
    print("|---|---|---|---|---|---|")
    for kind in ("hits", "degrees"):
        for texts in (1, 3, 6):
            tally = Tally()
            for seed in range(RUNS):
                cells = made_up(seed, texts, kind)
                score = lambda v, r, u, n, s=cells.scores: s[v, r, u, n - 1]  # noqa: E731
                said = lambda v, r, u, n, c=cells.changed: (f"{v} {r} {u}", bool(c[v, r, u]))  # noqa: E731
                add(tally, score, said, texts, seed)
            print(f"| made up, {kind} | {texts} | {tally.share} | {tally} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        real(Workbench(Settings()), place)


def real(workbench: Workbench, place: Path) -> None:
    """The same on real cells, by kind of score."""
    for texts in (1, 3):
        tallies: dict[str, Tally] = {}
        for _, grid in grids(workbench, place):
            for kind, score in scores(workbench, grid, texts):
                tally, one = tallies.setdefault(kind, Tally()), Tally()
                for seed in range(SEEDS):
                    order = np.random.default_rng(seed).permutation(len(grid.prompts))[:texts].tolist()
                    add(one, lambda v, r, u, n, o=order, s=score: s(v, r, o[u], n), said_in(grid, order), texts, seed)
                tally.runs, tally.found = tally.runs + one.runs, tally.found + one.found
                tally.near, tally.left_out = tally.near + one.near, tally.left_out + one.left_out
                tally.taken += one.taken
        for kind, tally in tallies.items():
            print(f"| SmolLM2, {kind} | {texts} | {tally.share} | {tally} |", flush=True)


def said_in(grid: Grid, order: Sequence[int]) -> Said:
    """The texts of a grid, its prompts in this order."""

    def said(vector: int, radius: int, text: int, tokens: int) -> tuple[str, bool]:
        prompt = order[text]
        words = grid.texts[vector, radius, prompt].said[tokens]
        return words, words != grid.baselines[prompt].said[tokens]

    return said


def add(tally: Tally, score: Score, said: Said, texts: int, seed: int) -> None:
    """Search once, and count."""
    cells = [Cell(vector, radius) for vector in range(VECTORS) for radius in range(len(RADII))]

    def mean(cell: Cell, many: int, tokens: int) -> float:
        return float(np.mean([score(cell.vector, cell.radius, text, tokens) for text in range(many)]))

    whole = {cell: mean(cell, texts, TOKENS) for cell in cells}
    best = max(whole.values())
    if best <= 0 or min(whole.values()) == best:
        tally.left_out += 1
        return
    halving = Halving(VECTORS, len(RADII), texts, TOKENS, seed)
    while (now := halving.round) is not None:
        reads = {}
        for cell in halving.cells:
            words = [said(cell.vector, cell.radius, text, now.tokens) for text in range(now.texts)]
            score_of = mean(cell, now.texts, now.tokens)
            reads[cell] = Read(score_of, tuple(one for one, _ in words), float(np.mean([moved for _, moved in words])))
        halving.tell(reads)
    tally.runs += 1
    tally.taken += halving.taken / (len(cells) * texts * TOKENS)
    found = whole[halving.ranked[0]]
    tally.found += found >= best - 1e-9
    tally.near += sum(one > found + 1e-9 for one in whole.values()) < 3


def scores(workbench: Workbench, grid: Grid, texts: int) -> Iterator[tuple[str, Score]]:
    """Each kind of score, and the score of a text; a broken text scores 0 when it is whole."""
    lengths = sorted({one.tokens for one in Halving(VECTORS, len(RADII), texts, TOKENS).rounds})
    for pattern in PATTERNS:
        yield "regex", table(grid, lengths, lambda said, *_, p=pattern: regex.search(p, said) is not None)
    for flag in FLAGS:

        def raised(said: str, prompt: int, tokens: int, flag: str = flag) -> bool:
            base = grid.baselines[prompt].said[tokens]
            return flag in {one.kind for one in flags(said, grid.prompts[prompt], None, base)}

        yield "flag", table(grid, lengths, raised)
    said = sorted({text.said[length] for text in grid.texts.values() for length in lengths})
    with workbench.bench.compute.hold():
        rows = workbench.bench.embedder.encode([*said, *MEANINGS])
    place = {text: row for row, text in enumerate(said)}
    for number in range(len(MEANINGS)):
        cosines = rows[: len(said)] @ rows[len(said) + number]
        yield "meaning", table(grid, lengths, lambda text, *_, c=cosines: float(c[place[text]]))


def table(grid: Grid, lengths: Sequence[int], of: Callable[..., float]) -> Score:
    """The scores of all texts, computed once."""
    known = {}
    for cell, text in grid.texts.items():
        for length in lengths:
            broken = text.verdict == "broken" and length == TOKENS
            known[(*cell, length)] = 0.0 if broken else float(of(text.said[length], cell[2], length))
    return lambda vector, radius, prompt, tokens: known[vector, radius, prompt, tokens]


if __name__ == "__main__":
    main()
