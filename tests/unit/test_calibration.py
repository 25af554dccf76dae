"""Calibration: the R at which Δ leaves the linear regime, where the answer is known and where there is none."""

import math

import pytest
import torch
from benches import PROMPT, listen
from planted import PlantedMap, unit_rows
from tiny_models import WIDTH, encoded, tiny

from melbo_app.engine.calibration import calibrate, random_directions
from melbo_app.engine.jacobian import pushforward
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.studies.calibrate import Calibrate

D = 24
BRACKET = (0.01, 100.0)
TEXTS = ("the heath", "hello")


def planted(change, bracket=BRACKET, batch=5):
    """What is found on Δ = change(θ) at every token in scope."""
    piece = PlantedMap(D, change)
    return result_of(calibrate(piece, piece.mask(None), random_directions(D, 0), bracket, batch))


def bent(curvature, power):
    """A rotation, and beside it ``curvature`` ‖θ‖^power along one direction: the departure is curvature R^(power−1)."""
    turn, aside = torch.linalg.qr(unit_rows(D, D, 1))[0], unit_rows(1, D, 2)
    return lambda thetas: thetas @ turn + curvature * thetas.square().sum(1, keepdim=True) ** (power / 2) * aside


@pytest.mark.parametrize(
    ("curvature", "power", "radius"),
    [(0.1, 2, 5.0), (3.0, 2, 0.5 / 3), (0.02, 3, 5.0), (0.02, 4, 25 ** (1 / 3))],
)
def test_the_radius_is_where_the_planted_bend_is_half_of_the_slope(curvature, power, radius):
    found = planted(bent(curvature, power))
    assert found.radius == pytest.approx(radius, rel=1e-3)
    assert found.radii == sorted(found.radii)
    assert found.departures == pytest.approx([curvature * r ** (power - 1) for r in found.radii], rel=1e-3, abs=1e-5)


def test_a_linear_map_has_no_such_radius():
    found = planted(bent(0.0, 2))
    assert found.radius is None
    assert max(found.departures) < 1e-4 and found.radii[-1] == 100


@pytest.mark.parametrize("bracket", [(0.01, 1.0), (20.0, 100.0)])
def test_a_root_outside_of_the_bracket_is_not_made_up(bracket):
    assert planted(bent(0.1, 2), bracket).radius is None


def test_noise_that_drowns_tiny_radii_is_not_taken_for_the_root():
    noise = 0.05 * unit_rows(1, D, 3)
    found = planted(lambda thetas: bent(0.1, 2)(thetas) + noise)
    assert found.departures[0] > 0.5  # 0.05 against R = 0.01
    assert found.radius == pytest.approx(5, rel=0.02)


def test_a_map_that_overflows_leaves_the_linear_regime_there():
    found = planted(lambda thetas: thetas + torch.where(thetas.norm(dim=1, keepdim=True) > 3, math.inf, 0.0))
    assert found.radius == pytest.approx(3, rel=0.05)


def test_batches_do_not_matter_and_the_directions_have_a_seed():
    one, many = planted(bent(0.1, 2), batch=1), planted(bent(0.1, 2), batch=64)
    assert one.radius == pytest.approx(many.radius, rel=1e-6)
    assert one.departures == pytest.approx(many.departures, rel=1e-5)
    assert torch.equal(random_directions(D, 7), random_directions(D, 7))
    assert not torch.equal(random_directions(D, 7), random_directions(D, 8))


def test_what_never_arrives_is_refused():
    with pytest.raises(InputError, match="a vector added at the source does not change the target"):
        planted(lambda thetas: 0 * thetas)


# --- on models -------------------------------------------------------------------------------------------------------


def on_model(lm, scope="all"):
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    directions = random_directions(WIDTH, 0).to(torch.promote_types(lm.dtype, torch.float32))
    bracket = (0.01 * piece.median_norm, 10 * piece.median_norm)
    return result_of(calibrate(piece, piece.mask(TokenScope.parse(scope)), directions, bracket, 8))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_float32_finds_what_float64_finds(name):
    single, double = on_model(tiny(name)), on_model(tiny(name, dtype=torch.float64))
    assert double.radius is not None
    assert single.radius == pytest.approx(double.radius, rel=1e-3)
    assert single.departures == pytest.approx(double.departures, rel=2e-2)


def test_bfloat16_finds_nearly_the_same():
    coarse, single = on_model(tiny("llama", dtype=torch.bfloat16)), on_model(tiny("llama"))
    assert coarse.radius == pytest.approx(single.radius, rel=0.1)


def test_the_slope_is_that_of_differences_in_float64():
    lm = tiny("gpt2", dtype=torch.float64)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    mask, directions, step = piece.encoded.attention_mask.bool(), random_directions(WIDTH, 3).double(), 1e-4
    with torch.no_grad():
        want = (piece.deltas(step * directions) - piece.deltas(-step * directions))[:, mask] / (2 * step)
    found = pushforward(piece, mask, directions)
    assert (found - want).norm() < 1e-7 * want.norm()


def test_departures_are_those_of_the_definition():
    lm = tiny("llama", dtype=torch.float64)
    found = on_model(lm, "last:2")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    mask, directions = piece.mask(TokenScope.parse("last:2")), random_directions(WIDTH, 0).double()
    slope = pushforward(piece, mask, directions)
    with torch.no_grad():
        for radius, departure in zip(found.radii, found.departures, strict=True):
            bend = piece.deltas(radius * directions)[:, mask] - radius * slope
            ratios = bend.square().sum(-1) / (radius * slope).square().sum(-1)
            assert departure == pytest.approx(math.sqrt(ratios.mean()), rel=1e-9)


def test_a_stop_ends_it_at_the_next_block():
    lm = tiny("llama")
    piece, pressed = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2), []
    mask = piece.mask(TokenScope.parse("all"))
    work = calibrate(piece, mask, random_directions(WIDTH, 0), (0.01, 10.0), 8, lambda: bool(pressed))
    next(work)
    pressed.append(True)
    with pytest.raises(Stopped):
        next(work)


# --- as a use case ---------------------------------------------------------------------------------------------------


def test_the_bench_finds_it_in_both_units_with_the_layers_it_was_asked_for(bench):
    heard, found = listen(bench.run(Calibrate(prompts=[PROMPT], source=0, target=2, scope="assistant")))
    assert (found.source, found.target, found.scope) == (0, 2, "assistant")
    assert found.relative_radius == pytest.approx(found.radius / found.median_norm)
    assert found.radii[0] == pytest.approx(0.01 * found.median_norm)
    assert result_of(bench.run(Calibrate(prompts=[PROMPT], source=0, target=2, scope="assistant"))) == found
    done = [progress.done / progress.total for progress in heard]
    assert done == sorted(done) and done[-1] < 1


def test_without_layers_and_scope_it_takes_those_of_the_suggestion(bench):
    usual = bench.suggestion([PROMPT])
    found = result_of(bench.run(Calibrate(prompts=[PROMPT])))
    assert (found.source, found.target, found.scope) == (usual.source, usual.target, usual.scope)


@pytest.mark.parametrize(
    ("source", "target", "scope", "part"),
    [(2, 1, "all", "target layer"), (0, 9, "all", "no block 9"), (0, 1, "some", "scope")],
)
def test_what_cannot_be_calibrated_is_refused(bench, source, target, scope, part):
    with pytest.raises(InputError, match=part):
        result_of(bench.run(Calibrate(prompts=[PROMPT], source=source, target=target, scope=scope)))
