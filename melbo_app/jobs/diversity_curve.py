"""A diversity curve: for each R of a grid vectors, completions and figures, and those of random vectors beside them."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.diversity import Answers, Diversity, diversity
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.work import retold, together
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Comparison

LEAST, MOST, POINTS = 0.02, 0.3, 8
MOST_SEEDS, MOST_POINTS = 20, 100
STEP = 100  # of the progress: one training, or one set of completions

Result = TypeVar("Result")


@dataclass(frozen=True)
class CurveProgress:
    """Where a diversity curve stands, with the points that are there."""

    stage: str
    done: int
    total: int
    curve: DiversityCurve


class Making(Protocol):
    """How vectors and texts come about: trained or looked up, completed or looked up."""

    def vectors(self, relative_radius: float, seed: int) -> Generator[Any, None, Bank]:
        """The bank whose vectors are used at this R, whatever their norm."""

    def control(self, seed: int) -> Generator[Any, None, Bank]:
        """A bank of random vectors."""

    def complete(self, bank: Bank, radius: float) -> Generator[Any, None, Comparison]:
        """Complete each prompt without steering and under each vector, with the norm ``radius``, and keep it."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Places [N, D] of texts."""


def default_radii(points: int = POINTS) -> tuple[float, ...]:
    """R evenly spaced on a logarithmic scale, as multiples of the median norm: from where nothing happens to where
    most texts break."""
    return radii_between(LEAST, MOST, points)


def radii_between(least: float, most: float, points: int) -> tuple[float, ...]:
    """R evenly spaced on a logarithmic scale. Raises InputError where there is no such scale."""
    if not 0 < least < most <= 100:  # written so that NaN is refused too
        raise InputError(
            "R", f"{least:g} to {most:g} is not a range", "Choose two numbers above 0, the smaller one first"
        )
    if not 2 <= points <= MOST_POINTS:
        raise InputError("number of R", f"{points} cannot be used", f"Choose 2 to {MOST_POINTS}")
    return tuple(float(f"{radius:.3g}") for radius in np.geomspace(least, most, points))


def check_grid(relative_radii: Sequence[float], seeds: int) -> tuple[float, ...]:
    """The R of a curve in their order. Raises InputError where they cannot be one."""
    radii = tuple(sorted({float(radius) for radius in relative_radii}))
    if len(radii) < 2:
        raise InputError("relative R", "a curve needs two or more", "Write 0.03,0.06,0.12, or leave it out")
    if not all(0 < radius <= 100 for radius in radii):  # written so that NaN is refused too
        raise InputError("relative R", "every value must be greater than 0", "0.02 to 0.3 usually works")
    if len(radii) > MOST_POINTS:
        raise InputError("relative R", f"{len(radii)} are too many", f"Choose at most {MOST_POINTS}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError("seeds", f"{seeds} of them cannot be used", f"Choose 1 to {MOST_SEEDS}")
    return radii


def diversity_curve(
    empty: DiversityCurve,
    relative_radii: Sequence[float],
    making: Making,
    keep: Callable[[DiversityCurve], None],
    stop: Callable[[], bool],
) -> Generator[CurveProgress, None, DiversityCurve]:
    """Measure at each R in its turn; each point is in the progress as soon as it is there. A stop keeps the points.

    Args:
        empty: the curve without points: how vectors are made, the unit of R, and the seeds.
        keep: is given the curve after each point.

    Raises:
        Stopped: a stop came before the first point.
    """
    curve, total = empty, 3 * STEP * len(relative_radii) * len(empty.seeds)
    done = 0

    def told(
        work: Generator[Any, None, Result], about: str, size: int = STEP
    ) -> Generator[CurveProgress, None, Result]:
        nonlocal done

        def tell(progress: Any) -> CurveProgress:
            share = progress.done / max(1, progress.total)
            return CurveProgress(f"{about}: {progress.stage}", done + min(size, round(size * share)), total, curve)

        result = yield from retold(work, tell)
        done += size
        return result

    try:
        for number, relative in enumerate(relative_radii, start=1):
            radius = relative * empty.median_norm
            where = f"R = {relative:g} × the median norm, {number} of {len(relative_radii)}"
            found: list[tuple[Comparison, Comparison]] = []
            for seed in empty.seeds:
                bank = yield from told(making.vectors(relative, seed), where)
                random = yield from told(making.control(seed), where, 0)  # takes no time
                both = together(making.complete(bank, radius), making.complete(random, radius))
                steered, control = yield from told(both, where, 2 * STEP)
                found.append((steered, control))
            point = _point(relative, radius, found, making.embed)
            curve = replace(curve, points=(*curve.points, point), finished=number == len(relative_radii))
            keep(curve)
            yield CurveProgress(where, done, total, curve)
            if stop():
                break
    except Stopped:
        if not curve.points:
            raise Stopped("Stopped before the first point was measured: there is no curve yet.") from None
    return curve


def _point(
    relative: float,
    radius: float,
    found: Sequence[tuple[Comparison, Comparison]],
    embed: Callable[[Sequence[str]], np.ndarray],
) -> CurvePoint:
    vectors = [_sets(steered, embed) for steered, _ in found]
    control = [_sets(random, embed) for _, random in found]
    return CurvePoint(
        relative_radius=relative,
        radius=radius,
        vectors=_together(vectors),
        control=_together(control),
        seeds=tuple(diversity(sets) for sets in vectors),
        control_seeds=tuple(diversity(sets) for sets in control),
        comparisons=tuple(comparison.id for pair in found for comparison in pair),
    )


def _together(of_seeds: Sequence[Sequence[Answers]]) -> Diversity:
    return diversity([one for sets in of_seeds for one in sets])


def _sets(comparison: Comparison, embed: Callable[[Sequence[str]], np.ndarray]) -> list[Answers]:
    """The answers to each prompt."""
    places = embed([one.text for one in comparison.completions])
    placed = list(zip(comparison.completions, places, strict=True))
    sets = []
    for index in sorted({one.prompt_index for one in comparison.completions}):
        here = [(one, place) for one, place in placed if one.prompt_index == index]
        steered = [(one, place) for one, place in here if one.vector is not None]
        scores = [one.scores for one, _ in steered]
        sets.append(
            Answers(
                texts=[one.text for one, _ in steered],
                places=np.stack([place for _, place in steered]),
                losses=[None if score is None else score.loss for score in scores],
                divergences=[None if score is None else score.kl_text for score in scores],
                readable=[score is not None and score.verdict == "readable" for score in scores],
                unsteered=next(place for one, place in here if one.vector is None),
            )
        )
    return sets
