"""Spreads: what several sampled texts of one vector at one R have in common, counted over their seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.library.completion import Completion

Cell = tuple[int, int | Literal["random"] | None, float]
"""Number of the prompt, vector and R."""
Maker = tuple[int | Literal["random"] | None, float]
"""Vector and R."""
LEAST = 2


class SpreadLine(TypedDict):
    texts: int
    readable: int
    differ: int
    flags: dict[str, int]


@dataclass(frozen=True)
class Spread:
    """How many ``texts`` there are, one a seed, and how many of them are readable, ``differ`` from the unsteered text
    of their seed, and have each flag."""

    texts: int
    readable: int
    differ: int
    flags: tuple[tuple[FlagKind, int], ...]

    @property
    def counts(self) -> list[tuple[int, str]]:
        """How many do what, in words; unsteered texts differ from nothing."""
        return [(self.readable, "readable"), (self.differ, "differ"), *((count, kind) for kind, count in self.flags)]

    @property
    def line(self) -> SpreadLine:
        """As JSON."""
        found = {str(kind): count for kind, count in self.flags}
        return {"texts": self.texts, "readable": self.readable, "differ": self.differ, "flags": found}

    @property
    def sentence(self) -> str:
        """For the terminal."""
        return f"of {self.texts} sampled texts: " + ", ".join(f"{count} {what}" for count, what in self.counts)


def spreads(completions: Sequence[Completion], samples: Sequence[Completion]) -> dict[Cell, Spread]:
    """The spread of each cell of ``completions`` that has further ``samples``; flags compare a text with the unsteered
    one of its own seed, so that sampling alone is no difference."""
    every = [*completions, *samples]
    baselines = {(one.prompt_index, one.seed): one.text for one in every if one.vector is None}
    cells: dict[Cell, dict[int, Completion]] = {}
    for one in every:
        cells.setdefault(cell_of(one), {})[one.seed] = one
    return {cell: _spread([*texts.values()], baselines) for cell, texts in cells.items() if len(texts) >= LEAST}


def at_each_radius(counted: Mapping[Cell, Spread]) -> dict[Maker, Spread]:
    """The spreads of each vector at each R, over all prompts, by R, the unsteered texts first."""
    found: dict[Maker, list[Spread]] = {}
    for (_, vector, radius), spread in counted.items():
        found.setdefault((vector, radius), []).append(spread)
    first = sorted(found, key=lambda one: (one[0] is not None, abs(one[1]), -one[1]))
    return {maker: _together(found[maker]) for maker in first}


def cell_of(completion: Completion) -> Cell:
    """The cell of a text."""
    return completion.prompt_index, completion.vector, completion.radius


def _together(several: Sequence[Spread]) -> Spread:
    flags = Counter[FlagKind]()
    for one in several:
        flags.update(dict(one.flags))
    texts, readable, differ = (sum(getattr(one, of) for one in several) for of in ("texts", "readable", "differ"))
    return Spread(texts, readable, differ, tuple(flags.most_common()))


def _spread(texts: Sequence[Completion], baselines: dict[tuple[int, int], str]) -> Spread:
    readable = differ = 0
    found: Counter[FlagKind] = Counter()
    for one in texts:
        usual = None if one.vector is None else baselines.get((one.prompt_index, one.seed))
        readable += one.readable
        differ += usual is not None and one.text.split() != usual.split()
        found.update({flag.kind for flag in flags(one.text, one.prompt.user, one.prompt.system, usual)})
    return Spread(len(texts), readable, differ, tuple(found.most_common()))
