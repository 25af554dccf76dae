"""The R that a curve suggests: its sentences, its bands and the table of rules say the same."""

import numpy as np
import pytest

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.curve_figure import bands
from melbo_app.analysis.cusp import cusps
from melbo_app.analysis.diversity import Diversity
from melbo_app.analysis.radius_choice import choose_radius
from melbo_app.studies.curve import default_radii

RADII = default_radii()
RISE = (0.02, 0.02, 0.02, 0.1, 0.3, 0.5, 0.6, 0.6)
NEVER = (0.02,) * 8


def measured(variance: float, read: float, share: float) -> Diversity:
    return Diversity(variance, 0.03, variance, 3, 4, read, share, 0.4, 1.5)


def curve(
    variances: tuple[float, ...],
    control: tuple[float, ...] = NEVER,
    read: tuple[float, ...] | None = None,
    shares: tuple[float, ...] = (1.0,) * 8,
) -> DiversityCurve:
    """At median norm 100, so that R 0.02 × is R 2."""
    points = []
    for radius, mine, random, good, share in zip(RADII, variances, control, read or variances, shares, strict=True):
        one, other = measured(mine, good, share), measured(random, random, 1.0)
        points.append(CurvePoint(radius, 100 * radius, one, other, (one,), (other,), ()))
    return DiversityCurve("trained", None, 1, 3, "assistant", 100.0, (0,), tuple(points), True)


def test_a_cusp_is_suggested_with_the_r_of_the_table_and_the_bands_lie_apart():
    found = curve(RISE, read=(0.02, 0.02, 0.02, 0.1, 0.3, 0.5, 0.2, 0.0))
    choice = choose_radius(found)
    usual = next(one for one in cusps(found.arrays()) if one.detector == "readable")
    assert choice.detector == "readable" and choice.radius == usual.radius == RADII[5]
    assert choice.lines[0] == f"Suggested: R 13.8 (0.14 × the median norm), {usual.reason}."
    assert choice.lines[-1].startswith("At R 13.8: readable diversity 0.50, 3 of 4 answers distinct, 100% readable; ")
    (what, mine), (_, random) = bands(found, "summed variance")
    assert what == "95 % over vectors"
    assert mine[0].high < mine[-1].low, "it rises beyond chance, so its ends lie apart"
    assert mine[-1].low > random[-1].high, "it rises more than random vectors"
    assert mine[-1].high - mine[-1].low == pytest.approx(2 * 1.96 * 0.03)


def test_a_flat_curve_above_the_random_one_has_no_cusp_and_the_sentence_says_both():
    flat = (0.5, 0.52, 0.48, 0.51, 0.5, 0.49, 0.5, 0.52)
    found = curve(flat, read=(0.1, 0.2, 0.3, 0.4, 0.2, 0.45, 0.1, 0.0), shares=(1, 1, 1, 1, 1, 0.25, 0.25, 0))
    choice = choose_radius(found)
    assert all(one.radius is None and "within chance" in one.reason for one in cusps(found.arrays()))
    assert choice.detector is None and choice.radius == RADII[3]  # 0.45 is read by a quarter only
    assert choice.lines[0].startswith("No cusp: the curve is flat: its changes over R are within chance (p = ")
    assert choice.lines[0].endswith("On average over R the diversity is 0.50, under random vectors 0.02.")
    assert "the readable answers differ most at R 6.38 (0.064 × the median norm)." in choice.lines[1]
    (_, mine), (_, random) = bands(found, "summed variance")
    mean = np.mean(flat)
    assert all(one.low < mean < one.high for one in mine), "one level fits all bands: it is flat"
    assert all(one.low > other.high for one, other in zip(mine, random, strict=True)), "and higher than chance"


@pytest.mark.parametrize(
    ("read", "shares", "said"),
    [
        ((0.3,) * 8, (0.2,) * 8, "measure smaller R"),
        ((0.0,) * 8, (1.0,) * 8, "measure larger R"),
    ],
)
def test_where_no_r_is_any_good_it_says_in_which_direction_to_look(read, shares, said):
    choice = choose_radius(curve((0.3,) * 8, read=read, shares=shares))
    assert choice.radius is None and said in choice.lines[-1]


def test_a_curve_without_points_says_nothing():
    empty = DiversityCurve("trained", None, 1, 3, "assistant", 100.0, (0,), (), False)
    assert choose_radius(empty).lines == ()
