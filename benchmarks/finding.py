"""``python -m benchmarks.finding [FOLDER [SET …]]``: how often a search for a text finds the best cell of all.

A cell is a vector at an R, 16 × 6 of them. The best is the cell with the highest score when every cell is read whole.
On made-up cells (``made_up_cells.py``), and on real ones: the model's texts (``finding_cells.py``; kept in FOLDER, by
default a temporary one), read whole once and then searched again and again, with other chances and other orders of the
texts. The schedule was chosen on some sets of prompts; others, and other scores, were kept aside. SET names only some,
without made-up cells. Searches in which no cell scores, or all score the same, are left out. Tokens are counted as
asked for, whether or not a text ends before; those of a text that is continued are counted once.

A second table says what an oracle would find that knows the score of every cell after so many tokens, pays nothing for
it, and reads the best of them whole, as many as the tokens allow.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regex

from benchmarks.finding_cells import ASIDE, CHOSEN, TOKENS, VECTORS, Asked, Grid, grid_of
from benchmarks.made_up_cells import made_up
from melbo_app.analysis.flags import flags
from melbo_app.engine.stopping import never
from melbo_app.settings import Settings
from melbo_app.studies.find_schedule import RADII, SHARE, Cell, Halving, Read
from melbo_app.workbench import Workbench

RUNS, SEEDS = 1_000, 10


class Wanted(NamedTuple):
    """What is looked for."""

    patterns: tuple[str, ...]
    meanings: tuple[str, ...]
    flags: tuple[str, ...] = ("refusal gone", "persona changed", "answer changed", "instructions echoed")


SEEN = Wanted(
    (
        r"\bI am\b", r"\d", r"(?i)sorry|can't|cannot", r"\?", r"(?i)\bhelp", r"(?i)\bsteps?\b|\bfirst\b",
        r"\n\s*[-*\d]", r"(?i)\b(sea|ocean|waves?)\b", r"(?i)honest", "!",
    ),
    (
        "It says that it is a person.", "It asks a question back.", "It apologises and refuses.", "A list of steps.",
        "It talks about the sea.", "It gives a number.", "It praises honesty.", "It talks about food.",
    ),
)  # fmt: skip
UNSEEN = Wanted(
    (
        r"(?i)\b(yes|sure|certainly)\b", r"(?i)\b(friend|family|mother|father)", r"\*\*", r"(?i)\bmoney|\$",
        r"(?i)\b(feel|feeling|felt)\b", r"(?i)\b(dangerous|illegal|careful)", r"(?i)\b(blue|red|green|light)\b",
        r"(?i)\b(because|since|due to)\b", r"(?i)once upon|one day", r"“|\"",
    ),
    (
        "It compares this with a game.", "It gives a warning about danger.", "It speaks of feelings.",
        "It talks about money.", "It tells the reader to ask an expert.", "It talks about a family.",
        "It explains a scientific fact.", "It is rude to the reader.",
    ),
)  # fmt: skip
Score = Callable[[int, int, int, int], float]
"""Of a vector, an R, a text and a number of tokens."""
KNOWN = tuple(sorted({*Halving(VECTORS, len(RADII), 1, TOKENS).rounds}))
"""The tokens after which a search reads a score."""
Said = Callable[[int, int, int, int], tuple[str, bool]]
"""The text, and whether it differs from the unsteered one."""


@dataclass
class Tally:
    """Searches; how many found the best cell, and how many one of the three best; ``reached`` sums up the score found,
    0 for the median of all cells and 1 for the best, ``ties`` the cells that share the best score, and ``foreseen`` how
    many an oracle finds, by the tokens known."""

    runs: int = 0
    found: int = 0
    near: int = 0
    left_out: int = 0
    taken: float = 0.0
    reached: float = 0.0
    ties: int = 0
    foreseen: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        shares = (self.taken, self.found, self.near, self.reached)
        taken, best, near, reached = (f"{100 * count / max(1, self.runs):.1f} %" for count in shares)
        ties = self.ties / max(1, self.runs)
        return f"{taken} | {best} | {near} | {reached} | {ties:.1f} | {self.runs:,} ({self.left_out} left out)"

    @property
    def prophecy(self) -> str:
        """What an oracle finds, by the tokens known."""
        return " | ".join(f"{100 * self.foreseen[known] / max(1, self.runs):.0f} %" for known in KNOWN)


def main() -> None:
    """Measure and print tables."""
    tallies: dict[tuple[str, int], Tally] = {}
    names = sys.argv[2:]
    print(
        "| cells | texts of a cell | tokens, of all | best found | one of the three best | score reached | ties |",
        end="",
    )
    print(" searches |\n|---|---|---|---|---|---|---|---|")
    for kind in () if names else ("hits", "degrees"):
        for texts in (1, 3, 6):
            tally = tallies.setdefault((f"made up, {kind}", texts), Tally())
            for seed in range(RUNS):
                cells = made_up(seed, texts, kind)
                score = lambda v, r, u, n, s=cells.scores: s[v, r, u, n - 1]  # noqa: E731
                said = lambda v, r, u, n, c=cells.changed: (f"{v} {r} {u}", bool(c[v, r, u]))  # noqa: E731
                add(tally, score, said, texts, seed)
            print(f"| made up, {kind} | {texts} | {tally} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        workbench = Workbench(Settings())
        for which, sets, wanted in (("seen", CHOSEN, SEEN), ("kept aside", ASIDE, UNSEEN)):
            some = {name: asked for name, asked in sets.items() if not names or name in names}
            new = real(workbench, place, which, some, wanted)
            for (name, texts), tally in new.items():
                print(f"| {name} | {texts} | {tally} |", flush=True)
            tallies |= new
    print("\n| cells | texts of a cell |", " | ".join(f"after {known}" for known in KNOWN), "|")
    print("|---|---|" + "---|" * len(KNOWN))
    for (name, texts), tally in tallies.items():
        print(f"| {name} | {texts} | {tally.prophecy} |")


def real(
    workbench: Workbench, place: Path, which: str, sets: Mapping[str, Asked], wanted: Wanted
) -> dict[tuple[str, int], Tally]:
    """The same on real cells, by kind of score and number of texts."""
    tallies: dict[tuple[str, int], Tally] = {}
    for name, asked in sets.items():
        grid = grid_of(workbench, place, name, asked)
        for kind, score in scores(workbench, grid, wanted):
            for texts in (1, 3):
                where = f"{Path(workbench.settings.model).stem}, {which}, {kind}"
                tally = tallies.setdefault((where, texts), Tally())
                for seed in range(SEEDS):
                    order = np.random.default_rng(seed).permutation(len(grid.prompts))[:texts].tolist()
                    add(tally, lambda v, r, u, n, o=order, s=score: s(v, r, o[u], n), said_in(grid, order), texts, seed)
    return {key: tallies[key] for key in sorted(tallies, key=lambda key: key[1])}


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

    def mean(cell: Cell, tokens: int) -> float:
        return float(np.mean([score(cell.vector, cell.radius, text, tokens) for text in range(texts)]))

    whole = {cell: mean(cell, TOKENS) for cell in cells}
    best = max(whole.values())
    if best <= 0 or min(whole.values()) == best:
        tally.left_out += 1
        return
    halving = Halving(VECTORS, len(RADII), texts, TOKENS, seed)
    while (now := halving.round) is not None:
        reads = {}
        for cell in halving.cells:
            words = [said(cell.vector, cell.radius, text, now) for text in range(texts)]
            score_of = mean(cell, now)
            reads[cell] = Read(score_of, tuple(one for one, _ in words), float(np.mean([moved for _, moved in words])))
        halving.tell(reads)
    tally.runs += 1
    tally.taken += halving.taken / (len(cells) * texts * TOKENS)
    found, usual = whole[halving.ranked[0]], float(np.median([*whole.values()]))
    tally.reached += (found - usual) / (best - usual) if best > usual else 1.0
    tally.ties += sum(one >= best - 1e-9 for one in whole.values())
    chance = np.random.default_rng(seed).random(len(cells))
    for known in KNOWN:
        early = sorted(range(len(cells)), key=lambda at: (-mean(cells[at], known), chance[at]))
        tally.foreseen[known] += max(whole[cells[at]] for at in early[: int(SHARE * len(cells))]) >= best - 1e-9
    tally.found += found >= best - 1e-9
    tally.near += sum(one > found + 1e-9 for one in whole.values()) < 3


def scores(workbench: Workbench, grid: Grid, wanted: Wanted) -> Iterator[tuple[str, Score]]:
    """Each kind of score, and the score of a text; a broken text scores 0 when it is whole."""
    for pattern in wanted.patterns:
        yield "regex", table(grid, lambda said, *_, p=pattern: regex.search(p, said) is not None)
    for flag in wanted.flags:

        def raised(said: str, prompt: int, tokens: int, flag: str = flag) -> bool:
            base = grid.baselines[prompt].said[tokens]
            return flag in {one.kind for one in flags(said, grid.prompts[prompt], None, base)}

        yield "flag", table(grid, raised)
    said = sorted({text.said[length] for text in grid.texts.values() for length in KNOWN})
    rows = workbench.bench.embed(said, never)
    place = {text: row for row, text in enumerate(said)}
    for meaning in workbench.bench.embed(wanted.meanings, never):
        cosines = rows @ meaning
        yield "meaning", table(grid, lambda text, *_, c=cosines: float(c[place[text]]))


def table(grid: Grid, of: Callable[..., float]) -> Score:
    """The scores of all texts, computed once."""
    known = {}
    for cell, text in grid.texts.items():
        for length in KNOWN:
            broken = text.verdict == "broken" and length == TOKENS
            known[(*cell, length)] = 0.0 if broken else float(of(text.said[length], cell[2], length))
    return lambda vector, radius, prompt, tokens: known[vector, radius, prompt, tokens]


if __name__ == "__main__":
    main()
