"""The search for R, the effect budget and layers: settings from weak to strong, each judged by short completions.

Which setting makes a model say something new, and which one breaks its texts, differs between models and prompts by
more than any constant allows for (docs/search.md), so it is found by looking.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from melbo_app.engine.training_config import SATURATION, TrainingProgress
from melbo_app.errors import Stopped
from melbo_app.library.searches import Tried

CHANGE = 0.045
"""The share of a target token's norm that random vectors change at the unit of R: what vectors do to texts begins at
about the same change on four models, whose R for it are 0.01 to 0.1 × the median norm (docs/search.md)."""
MULTIPLES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Settings from weak to strong: R as multiples of that unit, a factor of √2 apart."""
BUDGET = SATURATION
"""The effect budget of all of them: weak vectors cannot spend it, and strong ones break texts without it."""
SAFER = 0.4
"""The effect budget that is tried at an R at which texts break with ``BUDGET``."""
START = 6
"""Where a search begins that has nothing to go by: twice the unit."""
RULE = 2
"""Of the rule below: what an earlier one found is not looked up."""
LOOKS = 4
"""Settings that are tried at most."""
ENOUGH, PLENTY = 0.5, 0.6
"""Share of new texts, in excess of the random vectors' share, from which no further R is tried, and from which no other
layers are either."""


@dataclass(frozen=True)
class Setting:
    """What is tried: R as a multiple of the median norm, and the effect budget."""

    relative_radius: float
    effect_budget: float


@dataclass(frozen=True)
class SearchProgress:
    """Where a search stands, with what has been tried."""

    stage: str
    done: int
    total: int
    tried: tuple[Tried, ...] = ()
    note: str = ""
    """A line for the log of a job."""


def radii_of(unit: float) -> tuple[float, ...]:
    """R as multiples of the median norm, from weak to strong, for the unit found with a model and its prompts."""
    return tuple(float(f"{multiple * unit:.3g}") for multiple in MULTIPLES)


class Looking(Protocol):
    """Trains vectors between two layers with a setting, completes under them and under random vectors, and counts."""

    @property
    def radii(self) -> Sequence[float]:
        """R as multiples of the median norm, from weak to strong."""

    def look(self, setting: Setting) -> Generator[Any, None, Tried]: ...


def next_rung(tried: Mapping[int, Tried], start: int, count: int) -> int | None:
    """Which of ``count`` settings, ordered from weak to strong, to look at next; None: none is worth it.

    The edge at which texts break is bracketed first, in steps of two and then of one; then the neighbours of the best
    setting are tried.
    """
    if not tried:
        return start
    best = max(tried, key=lambda rung: (tried[rung].score, -rung))
    if _reach([tried[best]], ENOUGH):
        return None
    broken = min((rung for rung, found in tried.items() if found.broken), default=count)
    whole = max((rung for rung, found in tried.items() if not found.broken and rung < broken), default=-1)
    if broken - whole > 1:
        if broken == count:
            return min(whole + 2, count - 1)
        if whole == -1:
            return max(broken - 2, 0)
        return (whole + broken) // 2
    beside = [rung for rung in (best - 1, best + 1) if 0 <= rung < broken and rung not in tried]
    return beside[0] if beside else None


def search(
    places: Sequence[Looking], start: int, most_seconds: float, stop: Callable[[], bool], budget: float | None = None
) -> Generator[SearchProgress, None, tuple[list[Tried], bool]]:
    """What was tried, in order, and whether the search came to its own end.

    It ends where nothing is left to try, after ``LOOKS`` settings, or where the next one would not fit into
    ``most_seconds``.

    Args:
        places: the layers to look at, one or two pairs.
        start: which of the radii to begin with.
        budget: the effect budget of all settings; None: ``BUDGET``, and ``SAFER`` where texts break.

    Raises:
        Stopped: a stop came before the first setting was judged.
    """
    began, plan = time.monotonic(), _Plan(places, start, budget)
    tried = plan.tried
    while len(tried) < LOOKS and not (tried and stop()):
        slowest = max((one.seconds for one in tried), default=0.0)
        if tried and time.monotonic() - began + slowest > most_seconds:
            return tried, False
        if (setting := plan.next()) is None:
            break
        where = f"R = {setting.relative_radius:g} × median, effect budget {setting.effect_budget:g}"
        work = plan.place.look(setting)
        try:
            while True:
                try:
                    step = next(work)
                except StopIteration as end:
                    found: Tried = end.value
                    break
                share = step.done / max(1, step.total)
                done = round(100 * (len(tried) + share))
                yield SearchProgress(f"{where}: {step.stage}", done, 100 * LOOKS, tuple(tried))
        except Stopped:
            if not tried:
                raise
            return tried, False
        plan.add(found)
        yield SearchProgress(where, 100 * len(tried), 100 * LOOKS, tuple(tried), found.sentence)
    return tried, not stop()


class _Plan:
    """What was tried where, and what to try next.

    The best readable setting of the first of ``places`` is tried at the other one as well, and the search goes on at
    the better of the two. Where texts break, the same R with a smaller effect budget is tried once: last, or after two
    R at which they break.
    """

    def __init__(self, places: Sequence[Looking], start: int, budget: float | None) -> None:
        self.tried: list[Tried] = []
        self._places, self._start = places, start
        self._budget = BUDGET if budget is None else budget
        self._rungs: list[dict[int, Tried]] = [{} for _ in places]
        self._at = 0
        self._rung: int | None = None
        self._safer = budget is not None
        """Whether the smaller budget has had its turn."""

    @property
    def place(self) -> Looking:
        """Where the next setting is looked at."""
        return self._places[self._at]

    def next(self) -> Setting | None:
        """The next setting; None where none is worth it."""
        self._rung = self._next_rung()
        if self._rung is not None:
            return Setting(self.place.radii[self._rung], self._budget)
        edge = min((number for number, one in self._rungs[self._at].items() if one.broken), default=None)
        if self._safer or edge is None or _reach(self.tried, ENOUGH):
            return None
        self._safer = True
        return Setting(self.place.radii[edge], SAFER)

    def add(self, found: Tried) -> None:
        """Take in what the last setting showed."""
        self.tried.append(found)
        if self._rung is None:
            return
        self._rungs[self._at][self._rung] = found
        first_look_elsewhere = self._at == 1 and len(self._rungs[1]) == 1
        if first_look_elsewhere and self._rungs[0][self._rung].score >= found.score:
            self._at = 0

    def _next_rung(self) -> int | None:
        here, best = self._rungs[self._at], _best_whole(self._rungs[0])
        if len(self._places) > 1 and best is not None and not self._rungs[1] and not _reach(self.tried, PLENTY):
            self._at = 1
            return best
        if not self._safer and len(here) > 1 and _best_whole(here) is None:
            return None
        if self._safer and _reach(self.tried, ENOUGH):
            return None
        return next_rung(here, self._start, len(self.place.radii))


def best_of(tried: Sequence[Tried]) -> tuple[int, str]:
    """Which setting to take, and why in a sentence. Settings whose texts break are taken only where all break."""
    whole = [number for number, one in enumerate(tried) if not one.broken]
    new = [number for number in whole if tried[number].new and tried[number].score > 0]
    if new:
        chosen = max(new, key=lambda number: (tried[number].score, -tried[number].relative_radius))
        return chosen, f"the most new readable texts of {_settings(tried)}: {tried[chosen].sentence}"
    if whole:
        chosen = max(whole, key=lambda number: tried[number].change)
        return chosen, (
            f"none of {_settings(tried)} gave readable texts that random vectors do not give; "
            f"this one changes the target most with readable texts: {tried[chosen].sentence}"
        )
    chosen = max(range(len(tried)), key=lambda number: tried[number].readable)
    return chosen, f"texts break at all of {_settings(tried)}; this one keeps most: {tried[chosen].sentence}"


def start_near(radii: Sequence[float], relative_radius: float) -> int:
    """The setting nearest to an R that served another prompt."""
    return min(range(len(radii)), key=lambda rung: abs(radii[rung] - relative_radius))


def searching(progress: SearchProgress) -> TrainingProgress:
    """The progress of a search as that of the training that it comes before."""
    return TrainingProgress(progress.stage, progress.done, progress.total, None, note=progress.note)


def _settings(tried: Sequence[Tried]) -> str:
    return f"{len(tried)} settings" if len(tried) > 1 else "the one setting tried"


def _best_whole(rungs: Mapping[int, Tried]) -> int | None:
    """The setting with the highest score among those whose texts do not break."""
    whole = [rung for rung, one in rungs.items() if not one.broken]
    return max(whole, key=lambda rung: (rungs[rung].score, -rung), default=None)


def _reach(found: Iterable[Tried], share: float) -> bool:
    return any(one.excess >= share and not one.broken for one in found)
