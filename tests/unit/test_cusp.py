"""Detectors of the cusp: curves whose cusp is known, curves without one, and what is said then."""

from dataclasses import replace

import numpy as np
import pytest

from melbo_app.analysis.curve import Curve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, DETECTORS, cusps, find_cusp
from melbo_app.studies.curve import default_radii

RADII = np.array(default_radii())
START, TOP = 0.06, 0.14


def made(rise: np.ndarray, *, control: np.ndarray | None = None, loss: np.ndarray | None = None) -> Curve:
    """A curve of these diversities, measured with an error of .03."""
    zero = np.zeros(len(rise))
    loss = np.exp(2 * np.log(RADII / TOP)) if loss is None else loss
    error = np.full(len(rise), 0.03)
    read = np.where(loss <= 1, rise, 0)
    return Curve(RADII[: len(rise)], rise, read, loss, error, zero if control is None else control, error)


def ramp(start: float = START, top: float = TOP, height: float = 0.6) -> np.ndarray:
    """Nothing up to ``start``, straight in log R up to ``top``, level beyond."""
    return height * np.clip(np.log(RADII / start) / np.log(top / start), 0, 1)


def radius(curve: Curve, detector: str) -> float:
    found = find_cusp(curve, detector)
    assert found.radius is not None, found.reason
    return found.radius


def test_the_rule_finds_half_the_height_between_two_points():
    # half way up in log R
    assert radius(made(ramp()), "half") == pytest.approx(np.sqrt(START * TOP), rel=0.05)


def test_the_rule_takes_no_r_at_which_a_text_loses_more_than_a_nat():
    curve = made(ramp())
    found = find_cusp(replace(curve, loss=curve.loss + 3), "half")
    assert found.radius is None and "nats a token" in found.reason
    unknown = find_cusp(replace(curve, loss=np.full(8, np.nan)), "half")
    assert unknown.radius is None and "is unknown" in unknown.reason


def test_the_greatest_readable_diversity_is_the_last_r_before_texts_break():
    assert radius(made(ramp()), "readable") == max(RADII[RADII <= TOP])


@pytest.mark.parametrize("detector", ["break", "kneedle"])
def test_the_elbow_is_where_the_rise_begins(detector):
    assert abs(np.log(radius(made(ramp()), detector) / START)) < np.log(1.4)  # less than one step of the grid


def test_the_break_point_says_how_sure_it_is():
    found = find_cusp(made(ramp()), "break")
    assert found.low is not None and found.high is not None
    assert found.low <= found.radius <= found.high and found.low < START < found.high
    rough = find_cusp(replace(made(ramp()), error=np.full(8, 0.06)), "break")
    assert rough.high / rough.low > found.high / found.low


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_collapse_at_large_r_changes_little(detector):
    fallen = ramp() * np.where(RADII > 0.2, 0.1, 1)
    assert radius(made(fallen), detector) == pytest.approx(radius(made(ramp()), detector), rel=0.35)


def test_of_two_rises_the_rule_finds_one_of_them_and_none_lies_outside():
    two = ramp(0.035, 0.05, 0.35) + ramp(0.14, 0.2, 0.35)
    for found in cusps(made(two, loss=np.full(8, 0.5))):
        assert found.radius is None or 0.025 <= found.radius < 0.21, found


@pytest.mark.parametrize("seed", range(5))
def test_a_flat_curve_has_no_cusp_and_every_detector_says_why(seed):
    noise = np.random.default_rng(seed).normal(scale=0.03, size=8)
    for found in cusps(made(0.3 + noise)):
        assert found.radius is None and "flat" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_like_that_of_random_vectors_has_no_cusp(seed):
    noise = np.random.default_rng(seed).normal(scale=0.03, size=8)
    for found in cusps(made(ramp() + noise, control=ramp())):
        assert found.radius is None and "random vectors" in found.reason
    for found in cusps(made(ramp(), control=ramp(0.03, 0.07))):  # random vectors do more
        assert found.radius is None and "random vectors" in found.reason


def test_a_straight_rise_has_no_break_point():
    found = find_cusp(made(0.1 * np.arange(8.0), loss=np.full(8, 0.1)), "break")
    assert found.radius is None and "straight" in found.reason


def test_a_rise_that_gets_flatter_has_no_break_point():
    found = find_cusp(made(np.sqrt(np.arange(8.0)) / 3), "break")
    assert found.radius is None and "flatter" in found.reason


def test_a_curve_that_only_falls_sends_to_smaller_r_and_one_that_only_gets_better_to_larger_ones():
    for found in cusps(made(ramp()[::-1].copy())):
        assert found.radius is None and "smaller" in found.reason
    rising = find_cusp(made(0.1 * np.arange(8.0), loss=np.full(8, 0.1)), "readable")
    assert rising.radius is None and "larger" in rising.reason
    high = find_cusp(made(0.4 + 0.3 * ramp()), "half")
    assert high.radius is None and "smaller" in high.reason


def test_too_few_points_are_said_to_be_too_few():
    for found in cusps(made(np.array([0.0, 0.0, 0.6]), loss=np.zeros(3))):
        assert found.radius is None and "points" in found.reason


def test_r_must_grow():
    with pytest.raises(ValueError, match="grow"):
        replace(made(ramp()), radii=RADII[::-1])


def test_the_default_is_one_of_them():
    assert DEFAULT_DETECTOR in DETECTORS
