"""The one R that a diversity curve suggests, with its reason: its cusp, or the best of the R that were measured."""

from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, LEAST_POINTS, Cusp, cusps, no_cusp

SHARE_READABLE = 0.5
"""Below this share of readable texts, an R is no good alternative."""
LEAST_DIVERSITY = 0.01
"""Below this, the readable answers are all the same."""


@dataclass(frozen=True)
class RadiusChoice:
    """The R to take, as a multiple of the median norm (None: none that was measured), and why. ``detector`` found it;
    None: the curve has no cusp, and this is the R at which readable answers differ most."""

    radius: float | None
    lines: tuple[str, ...]
    detector: str | None = None


def choose_radius(curve: DiversityCurve) -> RadiusChoice:
    """The default detector's R, else that of the first that found one, else the best measured alternative."""
    if not curve.points:
        return RadiusChoice(None, ())
    arrays = curve.arrays()
    found = cusps(arrays)
    usual = next(one for one in found if one.detector == DEFAULT_DETECTOR)
    cusp = usual if usual.radius is not None else next((one for one in found if one.radius is not None), None)
    if cusp is not None and cusp.radius is not None:
        why = f"Suggested: R {_both(cusp.radius, curve)}, {cusp.reason}."
        if cusp is not usual:
            why += f" The usual rule finds none: {usual.reason}."
        return RadiusChoice(cusp.radius, (why, _said(_nearest(curve, cusp.radius))), cusp.detector)
    return _alternative(curve, usual, no_cusp(arrays))


def _alternative(curve: DiversityCurve, usual: Cusp, reason: str | None) -> RadiusChoice:
    """The measured R whose readable answers differ most, if there are any."""
    none = f"No cusp: {reason or usual.reason}."
    if reason and len(curve.points) >= LEAST_POINTS:
        mine, control = (
            float(np.mean([one.summed_variance for one in those]))
            for those in ([point.vectors for point in curve.points], [point.control for point in curve.points])
        )
        none += f" On average over R the diversity is {mine:.2f}, under random vectors {control:.2f}."
    readable = [one for one in curve.points if one.vectors.readable >= SHARE_READABLE]
    best = max(readable, key=lambda one: one.vectors.readable_diversity, default=None)
    if best is None:
        broken = "Fewer than half the texts are readable at every R that was measured: measure smaller R."
        return RadiusChoice(None, (none, broken))
    if best.vectors.readable_diversity < LEAST_DIVERSITY:
        same = "At every R that was measured, the readable answers are the same: measure larger R."
        return RadiusChoice(None, (none, same))
    where = _both(best.relative_radius, curve)
    taken = f"Of the R that were measured, the readable answers differ most at R {where}."
    return RadiusChoice(best.relative_radius, (none, f"{taken} {_said(best)}"))


def _both(relative: float, curve: DiversityCurve) -> str:
    return f"{relative * curve.median_norm:.3g} ({relative:.2g} × the median norm)"


def _nearest(curve: DiversityCurve, relative: float) -> CurvePoint:
    return min(curve.points, key=lambda one: abs(np.log(one.relative_radius / relative)))


def _said(point: CurvePoint) -> str:
    random = point.control.readable_diversity
    there = f"At R {point.radius:.3g}: {figures(point, control=False)}"
    return f"{there}; readable diversity under random vectors {random:.2f}."


def figures(point: CurvePoint, *, control: bool) -> str:
    """What was measured at one R, in words."""
    one = point.control if control else point.vectors
    return (
        f"readable diversity {one.readable_diversity:.2f}, {one.distinct:g} of {one.answers:g} answers distinct, "
        f"{one.readable:.0%} readable"
    )
