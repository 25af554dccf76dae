"""Power steering: exact products with the Jacobian, its leading singular vectors, and what they are to MELBO's J."""

import itertools
from dataclasses import replace

import pytest
import torch
from planted import PlantedMap, found_on, unit_rows
from tiny_models import FAMILIES, KINDS, WIDTH, encoded, lent, tiny

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.jacobian import gram
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.start import starting_rows
from melbo_app.engine.training import train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath", "hello")
D = 48
CONFIG = TrainingConfig(0, 1, 2.0, 8, "jacobian", scope="all")


def gaussian(width, seed):
    """[width, width]: neighbouring singular values are a few per cent apart."""
    return torch.randn(width, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("vectors", [2, 8, 16])
def test_on_a_linear_map_they_are_the_right_singular_vectors(vectors, seed):
    width = 256
    matrix = gaussian(width, seed)
    found = found_on(lambda thetas: thetas @ matrix.T, width, replace(CONFIG, vectors=vectors, seed=seed))
    _, values, rows = torch.linalg.svd(matrix)
    count = vectors // 2
    cosines = (found.vectors[::2] / CONFIG.radius * rows[:count]).sum(dim=1).abs()
    assert cosines.min() > 0.999
    assert found.steps * count < 0.7 * width  # any directions would do that span all dimensions
    assert found.residual < 1e-4 and found.note is None
    # tokens of sizes (0.5, 1.5) and (1.2, 0.8), of all prompts together
    scale = (0.5**2 + 1.5**2 + 1.2**2 + 0.8**2) ** 0.5
    torch.testing.assert_close(torch.tensor(found.strength[::2]), scale * values[:count], rtol=1e-3, atol=0)


@pytest.mark.parametrize("steps", [1, 5, 15])
def test_what_has_not_converged_says_so_and_how_far_it_is(steps):
    width = 256
    matrix = gaussian(width, 0)
    found = found_on(lambda thetas: thetas @ matrix.T, width, replace(CONFIG, steps=steps))
    rows = found.vectors.double() / CONFIG.radius
    over = (rows @ matrix.double().T) @ matrix.double()
    squares = (rows * over).sum(dim=1, keepdim=True)
    want = (over - squares * rows).norm(dim=1).max() / squares.max()
    assert found.residual == pytest.approx(float(want), rel=1e-3) and found.residual > 1e-4
    assert found.note.startswith(
        f"Not converged: after {steps} passes the residual ‖JᵀJ v − σ² v‖ is {found.residual:.1g} σ₁²"
    )
    assert not found.stopped


def test_all_dimensions_at_once_give_the_whole_decomposition():
    matrix = gaussian(D, 5)
    found = found_on(lambda thetas: thetas @ matrix.T, D, replace(CONFIG, vectors=D))
    _, values, rows = torch.linalg.svd(matrix)
    assert ((found.vectors[::2] / 2) * rows[: D // 2]).sum(dim=1).abs().min() > 0.999
    assert torch.tensor(found.strength[::2]).diff().max() <= 0
    assert len(values) == D


@pytest.mark.parametrize("vectors", [1, 4, 5, D + 8])
def test_each_direction_comes_with_both_signs_and_one_strength(vectors):
    matrix = gaussian(D, 1)
    found = found_on(lambda thetas: thetas @ matrix.T, D, replace(CONFIG, vectors=vectors))
    assert len(found.vectors) == len(found.strength) == len(found.objective) == vectors
    for one in range(0, vectors - 1, 2):
        assert torch.equal(found.vectors[one], -found.vectors[one + 1])
        assert found.strength[one] == found.strength[one + 1]
    firsts = found.vectors[::2] / CONFIG.radius
    torch.testing.assert_close(firsts @ firsts.T, torch.eye(len(firsts)), atol=1e-5, rtol=0)


def test_of_a_bent_map_only_the_slope_at_zero_counts():
    inputs = torch.linalg.qr(unit_rows(3, D, 2).T).Q.T
    slopes = torch.tensor([3.0, 2.0, 1.0])

    def change(thetas):
        along = thetas @ inputs.T
        return (slopes * along + torch.tensor([0.0, 0.0, 50.0]) * along**2) @ inputs

    found = found_on(change, D, replace(CONFIG, vectors=4))
    assert (inputs[:2] * found.vectors[::2] / 2).sum(dim=1).abs().min() > 0.999


def differences(piece, mask, step):
    """The Jacobian by central differences, one column a dimension: [tokens in scope × d, d]."""
    unit = step * torch.eye(WIDTH, dtype=torch.promote_types(piece.baseline.dtype, torch.float32))
    with torch.no_grad():
        columns = (piece.deltas(unit) - piece.deltas(-unit)) / (2 * step)
    return columns[:, mask].flatten(1).T


@pytest.mark.parametrize(
    ("family", "scope"), [*((family, "all") for family in FAMILIES), *((family, "last:2") for family in KINDS)]
)
def test_products_are_those_of_the_jacobian_by_differences(family, scope):
    lm = lent(family)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    mask = piece.mask(TokenScope.parse(scope))
    jacobian = differences(piece, mask, 1e-2)
    want = jacobian.T @ jacobian
    assert (gram(piece, mask, torch.eye(WIDTH)) - want).norm() < 0.02 * want.norm()


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "opt", "falcon_alibi", "falcon_rotary"])
def test_products_are_exact_in_float64(name):
    """Of the families that compute in float64 all the way: others have float32 in their norms, or refuse it."""
    lm = tiny(name, dtype=torch.float64)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    mask = piece.encoded.attention_mask.bool()
    jacobian = differences(piece, mask, 1e-4)
    want = jacobian.T @ jacobian
    assert (gram(piece, mask, torch.eye(WIDTH, dtype=torch.float64)) - want).norm() < 1e-7 * want.norm()


@pytest.fixture(scope="module")
def hessian():
    """The Hessian of MELBO's J at 0 for p = 2 and q = 1 by differences of its gradient, and JᵀJ, both in float64."""
    lm = tiny("gpt2", dtype=torch.float64)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    mask = piece.encoded.attention_mask.bool()
    unit = torch.eye(WIDTH, dtype=torch.float64)

    def slope(thetas):
        leaf = thetas.detach().requires_grad_()
        return torch.autograd.grad(PowerObjective(2.0, 1.0)(piece.deltas(leaf), mask).sum(), leaf)[0]

    step = 1e-4
    return (slope(step * unit) - slope(-step * unit)) / (2 * step), gram(piece, mask, unit)


def test_the_hessian_of_j_at_zero_is_twice_the_sum_of_the_jacobians_squared(hessian):
    second, product = hessian
    torch.testing.assert_close(second, 2 * product, rtol=0, atol=1e-5 * float(product.abs().max()))


def test_so_its_eigenvectors_are_the_jacobian_vectors_that_are_found(hessian):
    second, _ = hessian
    vectors = torch.linalg.eigh((second + second.T) / 2).eigenvectors.flip(1).T
    lm = tiny("gpt2")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    found = result_of(train(piece, TrainingConfig(0, 2, 1.0, 8, "jacobian", scope="all")))
    assert (found.vectors[::2].double() * vectors[:4]).sum(dim=1).abs().min() > 0.999


def test_in_bfloat16_the_leading_vectors_are_those_of_float32():
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        lm = tiny("llama", dtype=dtype)
        piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
        found.append(result_of(train(piece, TrainingConfig(0, 2, 1.0, 8, "jacobian", scope="all"))))
    angles = torch.linalg.svdvals(found[0].vectors[::2] @ found[1].vectors[::2].T)
    assert angles.min() > 0.97
    assert found[1].strength == pytest.approx(found[0].strength, rel=0.05)
    # passes end where only rounding is left over
    assert found[1].note is None and found[1].steps <= found[0].steps
    assert found[0].residual < 1e-4 < found[1].residual < torch.finfo(torch.bfloat16).eps


def test_estimates_rise_from_pass_to_pass():
    matrix = gaussian(D, 3)
    curves = found_on(lambda thetas: thetas @ matrix.T, D, replace(CONFIG, steps=6)).curves
    assert all(len(curve) == 6 for curve in curves)
    assert all(late >= early * (1 - 1e-6) for curve in curves for early, late in itertools.pairwise(curve))
    assert curves[6][-1] > 1.05 * curves[6][0]


def test_passes_end_where_there_is_nothing_left_to_find():
    inputs, outputs = unit_rows(3, D, 1), unit_rows(3, D, 2)
    found = found_on(lambda thetas: thetas @ inputs.T @ outputs, D, replace(CONFIG, vectors=8))
    assert found.steps < 5
    span = torch.linalg.qr(inputs.T).Q
    assert torch.linalg.svdvals(span.T @ found.vectors[:6:2].T / 2).min() > 0.999


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_a_stopped_run_keeps_what_the_last_pass_gave_and_no_j_that_was_not_measured(stop_at):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    pressed = []
    training = train(piece, TrainingConfig(0, 2, 2.0, 5, "jacobian", scope="all"), lambda: bool(pressed))
    for _ in range(stop_at):
        next(training)
    pressed.append(True)
    found = result_of(training)
    assert found.stopped and found.steps == stop_at
    assert len(found.vectors) == len(found.curves) == len(found.strength) == (5 if stop_at else 0)
    assert [curve[-1] for curve in found.curves] == [2.0 * value for value in found.strength]  # R σ
    assert found.objective is None


def test_a_stop_while_j_is_measured_leaves_out_all_of_it():
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    pressed = []
    training = train(piece, TrainingConfig(0, 2, 2.0, 5, "jacobian", scope="all"), lambda: bool(pressed))
    while next(training).stage != "measuring J":
        pass
    pressed.append(True)
    found = result_of(training)
    assert found.stopped and len(found.vectors) == 5 and found.objective is None


# --- as a start for other methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["joint", "sequential", "transcoding"])
def test_other_methods_can_begin_there(method):
    rows = torch.linalg.qr(gaussian(D, 4)).Q[:3]
    slopes = torch.tensor([3.0, 2.0, 1.0])
    config = TrainingConfig(0, 1, 2.0, 3, method, 1, scope="all", start="jacobian")
    found = found_on(lambda thetas: (slopes * (thetas @ rows.T)) @ rows, D, config)
    # of each prompt the root of the sum over tokens of (size × slope × R)²
    size = sum((one**2 + two**2) ** 0.5 for one, two in ((0.5, 1.5), (1.2, 0.8)))
    assert [curve[0] for curve in found.curves] == pytest.approx([2 * size * slope for slope in (3, 2, 1)], rel=1e-4)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_of_the_two_signs_the_one_with_the_larger_j_is_taken(side):
    direction = unit_rows(1, D, 6)

    def change(thetas):
        return torch.expm1(side * thetas @ direction.T) @ direction

    config = TrainingConfig(0, 1, 2.0, 1, scope="all", start="jacobian")
    rows = result_of(starting_rows(Ascent(PlantedMap(D, change), config, 4), 1))
    assert float(rows @ direction.T) == pytest.approx(2.0 * side, rel=1e-3)


def test_where_there_are_more_vectors_than_dimensions_all_have_norm_r():
    matrix = gaussian(8, 4)
    config = TrainingConfig(0, 1, 2.0, 11, "soft-theta", scope="all", start="jacobian")
    rows = result_of(starting_rows(Ascent(PlantedMap(8, lambda thetas: thetas @ matrix.T), config, 4), 11))
    torch.testing.assert_close(rows.norm(dim=1), torch.full((11,), 2.0))
    singular = torch.linalg.svd(matrix).Vh
    assert (rows[:8] / 2 * singular).sum(dim=1).abs().min() > 0.999
    assert torch.linalg.matrix_rank(rows) == 8 and len({tuple(row.tolist()) for row in rows.abs()}) == 11


@pytest.mark.parametrize("method", ["joint", "sequential", "transcoding"])
def test_a_stop_before_the_start_is_known_keeps_nothing(method):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    config = TrainingConfig(0, 2, 2.0, 3, method, 2, scope="all", start="jacobian")
    pressed = []
    training = train(piece, config, lambda: bool(pressed))
    assert next(training).stage.startswith("Jacobian, pass 1 of at most 60: ")
    pressed.append(True)
    found = result_of(training)
    assert found.stopped and len(found.vectors) == len(found.curves) == len(found.objective) == 0
