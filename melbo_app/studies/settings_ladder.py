"""The search for R, the effect budget and layers: settings from weak to strong, each judged by short completions.

The settings at which a model says something new, and at which its texts break, differ too much between models and
prompts for any constant (docs/search.md), so they are found by looking.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from melbo_app.engine.training_config import SATURATION, TrainingProgress
from melbo_app.errors import Stopped
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.library.searches import Tried

CHANGE = 0.045
"""The unit of R is where random vectors change a target token by this share of its norm. On four models, vectors begin
to affect texts at about the same change, though at R of 0.01 to 0.1 × the median norm (docs/search.md)."""
MULTIPLES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Settings from weak to strong: R as multiples of that unit, a factor of √2 apart."""
BUDGET = SATURATION
"""Their effect budget: weak vectors cannot spend it, and strong ones break texts without it."""
SAFER = 0.4
"""The effect budget to try at an R where texts break with ``BUDGET``."""
START = 6
"""The rung at which a search begins without earlier results: twice the unit."""
RULE = 3
"""Version of the rule below; results of earlier versions are not looked up."""
LOOKS = 4
"""The most settings that a search tries."""
ENOUGH, PLENTY = 0.5, 0.6
"""Shares of new texts beyond the random vectors' share at which a search tries no further R, and no other layers."""


@dataclass(frozen=True)
class Setting:
    """A setting to try: R as a multiple of the median norm, and the effect budget."""

    relative_radius: float
    effect_budget: float


@dataclass(frozen=True, kw_only=True)
class SearchProgress(Progress):
    """The progress of a search, with the settings tried so far."""

    tried: tuple[Tried, ...] = ()


def radii_of(unit: float) -> tuple[float, ...]:
    """R as multiples of the median norm, from weak to strong, for a unit measured on a model and its prompts."""
    return tuple(float(f"{multiple * unit:.3g}") for multiple in MULTIPLES)


class Looking(Protocol):
    """Judges settings between two layers: trains vectors, completes with them and with random vectors, and counts."""

    @property
    def radii(self) -> Sequence[float]:
        """R as multiples of the median norm, from weak to strong."""

    def look(self, setting: Setting) -> Generator[Any, None, Tried]: ...


def next_rung(tried: Mapping[int, Tried], start: int, count: int) -> int | None:
    """The setting to try next, of ``count`` ordered from weak to strong; None if no other is worth it.

    First it brackets the edge at which texts break, in steps of two and then of one; then it tries the neighbours of
    the best setting.
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
) -> Generator[Progress, None, tuple[list[Tried], bool]]:
    """Returns the settings that were tried, in order, and whether the search was complete.

    It ends when nothing is left to try, after ``LOOKS`` settings, or when the next one would not fit into
    ``most_seconds``.

    Args:
        places: the pairs of layers, one or two.
        start: the index of the radius to begin with.
        budget: the effect budget of all settings; None: ``BUDGET``, and ``SAFER`` where texts break.

    Raises:
        Stopped: there was a stop before the first setting was judged.
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
        now = SearchProgress(where, 100 * len(tried), 100 * LOOKS, tried=tuple(tried))
        try:
            found: Tried = yield from part_of(now, plan.place.look(setting), 100)
        except Stopped:
            if not tried:
                raise
            return tried, False
        plan.add(found)
        yield SearchProgress(where, 100 * len(tried), 100 * LOOKS, found.sentence, tried=tuple(tried))
    return tried, not stop()


class _Plan:
    """The settings tried at each place, and the choice of the next.

    The best readable setting of the first of ``places`` is tried at the other one, too, and the search goes on at the
    better of the two. Once, where texts break, it tries the same R with a smaller effect budget: last, or after two R
    at which texts break.
    """

    def __init__(self, places: Sequence[Looking], start: int, budget: float | None) -> None:
        self.tried: list[Tried] = []
        self._places, self._start = places, start
        self._budget = BUDGET if budget is None else budget
        self._rungs: list[dict[int, Tried]] = [{} for _ in places]
        self._at = 0
        self._rung: int | None = None
        self._safer = budget is not None
        """Whether the smaller budget has been tried."""

    @property
    def place(self) -> Looking:
        """The layers at which the next setting is tried."""
        return self._places[self._at]

    def next(self) -> Setting | None:
        """The next setting; None if no other is worth it."""
        self._rung = self._next_rung()
        if self._rung is not None:
            return Setting(self.place.radii[self._rung], self._budget)
        edge = min((number for number, one in self._rungs[self._at].items() if one.broken), default=None)
        if self._safer or edge is None or _reach(self.tried, ENOUGH):
            return None
        self._safer = True
        return Setting(self.place.radii[edge], SAFER)

    def add(self, found: Tried) -> None:
        """Record the result of the last setting."""
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
    """The setting to choose, and why in a sentence. One whose texts break is chosen only if texts break at all."""
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
    """The setting nearest to the R found for another prompt."""
    return min(range(len(radii)), key=lambda rung: abs(radii[rung] - relative_radius))


def searching(progress: Progress) -> TrainingProgress:
    """The progress of a search as that of the training it precedes."""
    return TrainingProgress(progress.stage, progress.done, progress.total, None, note=progress.note)


def _settings(tried: Sequence[Tried]) -> str:
    return f"{len(tried)} settings" if len(tried) > 1 else "the one setting tried"


def _best_whole(rungs: Mapping[int, Tried]) -> int | None:
    """The setting with the highest score among those with whole texts."""
    whole = [rung for rung, one in rungs.items() if not one.broken]
    return max(whole, key=lambda rung: (rungs[rung].score, -rung), default=None)


def _reach(found: Iterable[Tried], share: float) -> bool:
    return any(one.excess >= share and not one.broken for one in found)
