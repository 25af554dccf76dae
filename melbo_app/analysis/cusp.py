"""Detectors of the cusp of a diversity curve: the R at which diversity starts to rise steeply.

They use the rising branch, up to the highest diversity; beyond it texts collapse, and the curve falls again. They find
no cusp where the curve is flat or no higher than that of random vectors. docs/radius.md compares them.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from melbo_app.analysis.curve import Curve

Detector = Literal["half", "readable", "break", "kneedle"]

DEFAULT_DETECTOR: Detector = "readable"
HALF, MOST_LOSS = 0.5, 1.0
"""Half maximum: this share of the greatest diversity, at this loss in nats a token or less."""
SURE = 0.01
"""Significance level for a curve that rises, and rises more than the control's."""
BEND_SURE = 0.05
"""Significance level for a break in a line."""
LEAST_ERROR = 0.02
"""Minimum standard error of a diversity: identical texts give no estimate of it."""
LEAST_POINTS = 4
SPLITS, RESAMPLES = 60, 200


@dataclass(frozen=True)
class Cusp:
    """A detector's result: R as a multiple of the median norm, or None and the reason in words. ``low`` and ``high``
    are the 95 % confidence interval of R, if the detector gives one."""

    detector: Detector
    radius: float | None
    reason: str
    low: float | None = None
    high: float | None = None


def find_cusp(curve: Curve, detector: Detector) -> Cusp:
    """The result of one detector."""
    reason = no_cusp(curve)
    return Cusp(detector, None, reason) if reason else DETECTORS[detector](curve)


def cusps(curve: Curve) -> list[Cusp]:
    """The results of all detectors."""
    return [find_cusp(curve, detector) for detector in DETECTORS]


def no_cusp(curve: Curve) -> str | None:
    """The reason why the curve has no cusp for any detector, or None."""
    if len(curve.radii) < LEAST_POINTS:
        return f"the curve has {len(curve.radii)} points, and {LEAST_POINTS} are needed"
    error = standard_error(curve.error)
    flat = _by_chance(curve.diversity - curve.diversity.mean(), error, len(curve.radii) - 1)
    if flat > SURE:
        return f"the curve is flat: its changes over R are within chance (p = {flat:.2g}, {SURE:g} is needed)"
    rising = _rising(curve)
    if rising < 2:
        return "the diversity is already highest at the smallest R: measure smaller ones"
    more = (curve.diversity - curve.control)[:rising]
    both = float(np.hypot(error, standard_error(curve.control_error)))
    same = 1.0 if more.mean() <= 0 else _by_chance(more, both, rising)
    if same > SURE:
        sure = "" if more.mean() <= 0 else f" (p = {same:.2g}, {SURE:g} is needed)"
        return f"the curve rises no more than that of random vectors of the same R{sure}"
    return None


def half_maximum(curve: Curve) -> Cusp:
    """The smallest R on the rising branch where the diversity is at least half its maximum and the loss at most 1 nat a
    token; both are interpolated linearly in log R."""
    fine = np.linspace(0, _rising(curve) - 1, 50 * _rising(curve) + 1)
    at = np.arange(len(curve.radii))
    diverse = np.interp(fine, at, curve.diversity) >= HALF * curve.diversity.max()
    loss = np.interp(fine, at, np.where(np.isnan(curve.loss), np.inf, curve.loss))
    if diverse[0]:
        return Cusp("half", None, "the smallest R already has half the greatest diversity: measure smaller ones")
    found = np.flatnonzero(diverse & (loss <= MOST_LOSS))
    if not len(found):
        lost = loss[np.flatnonzero(diverse)[0]]
        known = f"is {lost:.1f} nats a token" if math.isfinite(lost) else "is unknown"
        reason = f"where the diversity is half its maximum, the loss {known}, and {MOST_LOSS:g} is allowed"
        return Cusp("half", None, reason)
    radius = float(np.exp(np.interp(fine[found[0]], at, np.log(curve.radii))))
    return Cusp("half", radius, "half the greatest diversity, at a loss of at most 1 nat a token")


def readable_maximum(curve: Curve) -> Cusp:
    """The R with the greatest readable diversity (``diversity.readable_diversity``)."""
    known = np.where(np.isnan(curve.readable_diversity), -np.inf, curve.readable_diversity)
    best = int(known.argmax())
    if best == len(known) - 1:
        return Cusp("readable", None, "readable diversity still rises at the largest R: measure larger ones")
    if best == 0:
        return Cusp("readable", None, "readable diversity is greatest at the smallest R: measure smaller ones")
    return Cusp("readable", float(curve.radii[best]), f"the greatest readable diversity, {known[best]:.2f}")


def break_point(curve: Curve) -> Cusp:
    """The joint of the two connected lines over log R that fit the rising branch best, if the second is steeper.

    The interval comes from a parametric bootstrap: 200 draws of the diversities with their standard error over vectors.
    No cusp if one line fits as well (χ² test of the gain, 5 %).
    """
    rising = _rising(curve)
    if rising < LEAST_POINTS:
        return Cusp("break", None, f"the rising branch has {rising} points, and two lines need {LEAST_POINTS}")
    error, place = standard_error(curve.error), np.log(curve.radii)
    (split,), (steeper,), (gain,) = _two_lines(place[:rising], curve.diversity[None, :rising])
    from scipy.stats import chi2

    if chi2.sf(gain / error**2, 2) > BEND_SURE:
        return Cusp("break", None, "one straight line fits the rising branch as well as two")
    if not steeper:
        return Cusp("break", None, "the rising branch gets flatter, not steeper")
    noise = np.random.default_rng(0).normal(scale=error, size=(RESAMPLES, len(place)))
    drawn = curve.diversity + noise
    ends = (drawn >= drawn.max(axis=1, keepdims=True) - error).argmax(axis=1) + 1  # each has its own rising branch
    again = []
    for end in range(LEAST_POINTS, len(place) + 1):
        if (ends == end).any():
            splits, up, _ = _two_lines(place[:end], drawn[ends == end, :end])
            again.extend(splits[up])
    low, high = np.exp(np.quantile([split, *again], (0.025, 0.975)))
    return Cusp("break", float(np.exp(split)), "two lines over log R meet here", float(low), float(high))


def kneedle(curve: Curve) -> Cusp:
    """The elbow of the rising branch over log R (Satopää et al. 2011, Finding a “Kneedle” in a Haystack; kneed)."""
    from kneed import KneeLocator

    rising = _rising(curve)
    if rising < LEAST_POINTS:
        return Cusp("kneedle", None, f"the rising branch has {rising} points, and {LEAST_POINTS} are needed")
    place = np.log(curve.radii[:rising])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns if it finds no elbow
        found = KneeLocator(place, curve.diversity[:rising], curve="convex", direction="increasing").knee
    if found is None or found in (place[0], place[-1]):
        return Cusp("kneedle", None, "the rising branch has no elbow")
    return Cusp("kneedle", float(np.exp(found)), "the elbow of the rising branch")


DETECTORS: dict[Detector, Callable[[Curve], Cusp]] = {
    "half": half_maximum,
    "readable": readable_maximum,
    "break": break_point,
    "kneedle": kneedle,
}


def _rising(curve: Curve) -> int:
    """Number of points up to the first one within a standard error of the highest."""
    return int((curve.diversity >= curve.diversity.max() - standard_error(curve.error)).argmax()) + 1


def standard_error(errors: np.ndarray) -> float:
    """One standard error for all points, because those of few vectors are too uncertain to use separately; at least
    ``LEAST_ERROR``."""
    if np.isnan(errors).all():
        return LEAST_ERROR
    return max(LEAST_ERROR, float(np.sqrt(np.nanmean(np.square(errors)))))


def _by_chance(differences: np.ndarray, error: float, freedom: int) -> float:
    """p-value of these differences if all were 0 (χ²)."""
    from scipy.stats import chi2

    return float(chi2.sf(np.square(differences / error).sum(), freedom))


def _two_lines(place: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of ``values`` [B, n]: the joint of the best two connected lines, whether the second is steeper, and
    by how much they reduce the squared residuals of one line."""
    splits = np.linspace(place[0], place[-1], SPLITS + 2)[1:-1]
    line = np.stack([np.ones_like(place), place], axis=1)
    residuals, bends = [], []
    for split in splits:
        design = np.column_stack([line, np.maximum(0, place - split)])
        solved = values @ np.linalg.pinv(design).T
        residuals.append(np.square(values - solved @ design.T).sum(1))
        bends.append(solved[:, 2])
    best = np.argmin(residuals, axis=0)
    rows = np.arange(len(values))
    straight = np.square(values - values @ np.linalg.pinv(line).T @ line.T).sum(1)
    return splits[best], np.array(bends)[best, rows] > 0, straight - np.array(residuals)[best, rows]
