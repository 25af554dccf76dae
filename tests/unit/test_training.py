"""Training: vectors of norm R, at right angles, that change the target layer more than they did at the start."""

import itertools
import math
import re
from dataclasses import replace

import pytest
import torch
from benches import listen
from tiny_models import FAMILIES, KINDS, WIDTH, blocks_of, encoded, lent, random_thetas, tiny
from torch import nn

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.encoding import encode
from melbo_app.engine.methods.soft import cosine_penalty
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import train, with_saturation
from melbo_app.engine.training_config import DEFAULT_STEPS, TrainingConfig, TrainingProgress
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath", "hello")
ORTHOGONAL = ["joint", "sequential"]
CLIMBING = ["joint", "soft-theta", "soft-delta"]
METHODS = [*CLIMBING, "sequential"]
CONFIG = TrainingConfig(0, 2, 2.0, vectors=3, steps=6, scope="all", saturation=0.0)


@pytest.fixture(scope="module")
def piece():
    lm = tiny("llama")
    return ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)


def trained(piece, config, stop=None, memory_gb=None):
    return result_of(train(piece, config, stop, memory_gb))


@pytest.mark.parametrize("method", ORTHOGONAL)
@pytest.mark.parametrize(("vectors", "radius"), [(16, 2.0), (WIDTH, 2.0), (16, 0.05), (5, 300.0)])
def test_vectors_are_orthogonal_and_have_norm_r(piece, method, vectors, radius):
    result = trained(piece, replace(CONFIG, method=method, vectors=vectors, radius=radius, steps=4))
    rows = result.vectors.double()
    assert result.vectors.dtype == torch.float32
    assert rows.shape == (vectors, WIDTH)
    assert rows.norm(dim=1).tolist() == pytest.approx([radius] * vectors, rel=1e-5)
    cosines = rows @ rows.T / radius**2
    assert (cosines - torch.eye(vectors, dtype=torch.float64)).abs().max() < 1e-4


def test_as_many_vectors_as_dimensions_are_orthogonal_to_the_last_digit_of_float32(piece):
    result = trained(piece, replace(CONFIG, method="sequential", vectors=WIDTH, radius=0.05, steps=4))
    rows = result.vectors.double() / 0.05
    assert (rows @ rows.T - torch.eye(WIDTH, dtype=torch.float64)).abs().max() < 3e-7


@pytest.mark.parametrize("method", METHODS)
def test_j_rises_for_every_vector(piece, method):
    config = replace(CONFIG, method=method, vectors=4, steps=40 if method == "sequential" else 16)
    result = trained(piece, config)
    assert len(result.curves) == 4
    assert all(len(curve) == config.total_steps for curve in result.curves)
    assert all(end > curve[0] for end, curve in zip(result.objective, result.curves, strict=True))


def test_j_rises_on_the_whole_where_half_of_all_dimensions_are_taken(piece):
    result = trained(piece, replace(CONFIG, vectors=16, steps=16))
    assert sum(result.objective) > 1.02 * sum(curve[0] for curve in result.curves)


@pytest.mark.parametrize("method", METHODS)
def test_the_reported_j_is_that_of_the_vectors_returned(piece, method):
    config = replace(CONFIG, method=method, p=2, q=1)
    result = trained(piece, config)
    mask = piece.encoded.attention_mask.bool()
    changes = piece.deltas(result.vectors)[:, mask].square().sum(dim=(1, 2))  # p = 2 and q = 1: a plain sum of squares
    assert result.objective == pytest.approx(changes.tolist(), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_scope_decides_which_tokens_count(method):
    lm = tiny("llama")
    piece = ModelSlice(lm, encode(lm, [Prompt("hello")]), 0, 2)
    results = [trained(piece, replace(CONFIG, method=method, scope=scope, vectors=1)) for scope in ("all", "assistant")]
    assert not torch.allclose(results[0].vectors, results[1].vectors, atol=1e-4)
    for result, mask in zip(results, (piece.encoded.attention_mask.bool(), piece.encoded.tail), strict=True):
        norm = float(piece.deltas(result.vectors)[:, mask].norm())
        assert result.objective == pytest.approx([norm], rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_with_saturation_the_reported_j_is_the_published_one_all_the_same(piece, method):
    result = trained(piece, replace(CONFIG, method=method, saturation=0.1, p=1, q=1))
    peaks = 0.1 * piece.baseline.norm(dim=-1)
    norms = piece.deltas(result.vectors).norm(dim=-1)
    assert (norms > peaks).any() and (norms < peaks).any()
    published = (norms * piece.encoded.attention_mask).sum(dim=(1, 2))
    assert result.objective == pytest.approx(published.tolist(), rel=1e-4)
    assert all(len(curve) > 0 for curve in result.curves)


def test_with_saturation_the_climb_follows_the_gradient_of_what_counts(piece):
    """An independent derivation: the slope of log Σ n/(1 + (n/peak)²) by central differences."""
    ascent = Ascent(piece, replace(CONFIG, saturation=0.1, p=1, q=1), 3)
    thetas = random_thetas(2, norm=2.0)
    peaks, mask = 0.1 * piece.baseline.double().norm(dim=-1), piece.encoded.attention_mask

    def height(rows: torch.Tensor) -> torch.Tensor:
        norms = piece.deltas(rows).double().norm(dim=-1)
        return (norms / (1 + (norms / peaks) ** 2) * mask).sum(dim=(1, 2)).log()

    slope = result_of(ascent.slope(thetas, TrainingProgress("", 0, 1, None)))
    way = torch.nn.functional.normalize(random_thetas(2, seed=3), dim=1)
    step = 1e-2
    rise = (height(thetas + step * way) - height(thetas - step * way)) / (2 * step)
    assert (slope.gradients * way).sum(dim=1).tolist() == pytest.approx(rise.tolist(), rel=0.01, abs=1e-4)
    assert slope.counted.log().tolist() == pytest.approx(height(thetas).tolist(), rel=1e-4)


def test_saturation_keeps_the_most_changed_token_from_running_away(piece):
    config = replace(CONFIG, vectors=4, radius=6.0, steps=40)
    shares = []
    for saturation in (0.0, 0.4):
        changed = piece.deltas(trained(piece, replace(config, saturation=saturation)).vectors).norm(dim=-1)
        shares.append(float((changed / piece.baseline.norm(dim=-1))[:, piece.encoded.attention_mask.bool()].max()))
    assert shares[1] < 0.8 * shares[0]


@pytest.mark.parametrize("radius", [1.0, 300.0])
def test_trained_vectors_change_more_than_random_ones_also_where_r_is_large(piece, radius):
    config = replace(CONFIG, radius=radius, steps=None, saturation=None)
    mask = piece.mask(TokenScope.parse(config.scope))
    chance = [trained(piece, replace(config, method="random", seed=seed)).vectors for seed in range(5)]
    found = trained(piece, with_saturation(piece, config)).vectors
    moved, by_chance = (float(piece.deltas(rows)[:, mask].norm(dim=-1).mean()) for rows in (found, torch.cat(chance)))
    assert moved > 1.1 * by_chance
    assert (with_saturation(piece, config).saturation == 0.6) == (radius == 1.0)


def test_a_saturation_that_was_asked_for_is_left_alone(piece):
    for config in (
        replace(CONFIG, radius=300.0, saturation=0.2),
        replace(CONFIG, method="sequential", saturation=None),
    ):
        assert with_saturation(piece, config) == config


def test_by_default_the_published_method_counts_everything_and_the_others_do_not():
    shares = {method: TrainingConfig(0, 2, 1.0, method=method).saturation_share for method in METHODS}
    assert shares == {"joint": 0.6, "soft-theta": 0.6, "soft-delta": 0.6, "sequential": 0.0}


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_the_vectors(piece, method):
    config = replace(CONFIG, method=method)
    first = trained(piece, config).vectors
    torch.manual_seed(99)
    assert torch.equal(first, trained(piece, config).vectors)
    assert (first - trained(piece, replace(config, seed=1)).vectors).abs().max() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_the_global_random_numbers_are_left_alone(piece, method):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained(piece, replace(CONFIG, method=method))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_size_of_a_batch_does_not_change_the_vectors(piece, method, monkeypatch):
    config = replace(CONFIG, method=method, vectors=7)
    results = []
    for batch in (1, 3, 7):
        monkeypatch.setattr("melbo_app.engine.training.vectors_at_once", lambda *_, size=batch: size)
        results.append(trained(piece, config))
    for other in results[1:]:
        torch.testing.assert_close(other.vectors, results[0].vectors, atol=1e-5, rtol=0)
        assert other.objective == pytest.approx(results[0].objective, rel=1e-5)


@pytest.mark.parametrize(
    ("family", "p"), [*((family, 2) for family in FAMILIES), *((family, p) for family in KINDS for p in (1, 4))]
)
def test_every_family_can_be_trained(family, p):
    lm = lent(family)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    result = trained(piece, replace(CONFIG, p=p, steps=8))
    assert sum(result.objective) > 1.02 * sum(curve[0] for curve in result.curves)


@pytest.mark.parametrize("method", ["soft-theta", "soft-delta"])
def test_every_family_can_be_trained_with_soft_orthogonality(kind, method):
    lm = lent(kind)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)
    result = trained(piece, replace(CONFIG, method=method, steps=8))
    assert sum(result.objective) > 1.02 * sum(curve[0] for curve in result.curves)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_models_of_other_dtypes_can_be_trained(dtype, method):
    lm = tiny("llama", dtype=dtype)
    result = trained(ModelSlice(lm, encoded(lm, *TEXTS), 0, 2), replace(CONFIG, method=method, steps=16))
    assert result.vectors.dtype == torch.float32
    assert result.vectors.norm(dim=1).tolist() == pytest.approx([2.0] * 3, rel=1e-5)
    assert sum(result.objective) > sum(curve[0] for curve in result.curves)


def published_loop(lm, family, texts, config, starts):
    """The published training, written anew: the full model, one vector at a time, as a bias at the block's output."""
    blocks, radius = blocks_of(lm, family), config.radius
    bias = nn.Parameter(torch.zeros(WIDTH))
    use_bias = [False]
    seen = []

    def add(_module, _args, output):
        if not use_bias[0]:
            return output
        return output + bias if isinstance(output, torch.Tensor) else (output[0] + bias, *output[1:])

    def read(_module, _args, output):
        seen.append(output if isinstance(output, torch.Tensor) else output[0])

    def project(vector, learned):
        if not learned:
            return vector
        basis = torch.stack(learned) / radius
        return vector - basis.T @ (basis @ vector)

    def target_of(text):
        seen.clear()
        lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]]), use_cache=False)
        return seen[0]

    handles = [blocks[config.source].register_forward_hook(add), blocks[config.target].register_forward_hook(read)]
    with torch.no_grad():
        baselines = [target_of(text) for text in texts]
    use_bias[0] = True
    learned = []
    for start in starts:
        with torch.no_grad():
            bias.copy_(project(start, learned))
            bias.copy_(radius * bias / bias.norm())
        optimizer = torch.optim.AdamW([bias], lr=0.001, betas=(0.9, 0.98), weight_decay=0.0, amsgrad=True)
        for _ in range(config.steps):
            optimizer.zero_grad()
            for text, baseline in zip(texts, baselines, strict=True):
                norms = (target_of(text) - baseline).norm(dim=-1)
                (-((norms**config.p).sum() ** (1 / config.q))).backward()
            with torch.no_grad():
                bias.grad = project(bias.grad, learned)
                bias.grad -= torch.dot(bias.grad, bias) * bias / radius**2
                optimizer.step()
                bias.copy_(project(bias, learned))
                bias.copy_(radius * bias / bias.norm())
        learned.append(bias.detach().clone())
    for handle in handles:
        handle.remove()
    return torch.stack(learned)


@pytest.mark.parametrize(("name", "p", "q"), [("llama", 2.0, 2.0), ("gpt2", 2.0, 1.0), ("bloom", 4.0, 2.0)])
def test_the_sequential_method_is_the_published_loop(name, p, q):
    lm = tiny(name)
    config = TrainingConfig(0, 2, 0.5, vectors=3, method="sequential", steps=20, p=p, q=q, scope="all", seed=4)
    generator = torch.Generator().manual_seed(4)
    starts = [random_rows(1, WIDTH, config.radius, generator)[0] for _ in range(3)]
    want = published_loop(lm, name, TEXTS, config, starts)
    result = trained(ModelSlice(lm, encoded(lm, *TEXTS), 0, 2), config)
    torch.testing.assert_close(result.vectors, want, atol=1e-4, rtol=0)
    assert (want[0] - starts[0]).norm() > 0.02  # they did move


@pytest.mark.parametrize("stop_at", [0, 1, 5, 6, 7, 13])
def test_a_stopped_sequential_run_keeps_exactly_the_finished_vectors(piece, stop_at):
    config = replace(CONFIG, method="sequential")
    whole = trained(piece, config)
    pressed = []
    training = train(piece, config, lambda: bool(pressed))
    kept = 0
    for _ in range(stop_at):
        kept = next(training).finished
    pressed.append(True)
    steps, result = listen(training)
    assert steps == []
    assert result.stopped
    assert not whole.stopped
    assert len(result.vectors) == kept == stop_at // config.steps
    assert torch.equal(result.vectors, whole.vectors[:kept])
    assert result.curves == whole.curves[:kept]
    assert result.objective == [curve[-1] for curve in whole.curves[:kept]]


@pytest.mark.parametrize("method", CLIMBING)
@pytest.mark.parametrize("stop_at", [0, 1, 4])
def test_a_stopped_run_of_all_vectors_at_once_keeps_them_as_they_are(piece, method, stop_at):
    pressed = []
    training = train(piece, replace(CONFIG, method=method), lambda: bool(pressed))
    kept = 0
    for _ in range(stop_at):
        kept = next(training).finished
    pressed.append(True)
    steps, result = listen(training)
    assert steps == []
    assert result.stopped
    assert result.steps == stop_at
    assert len(result.vectors) == len(result.objective) == len(result.curves) == kept == (3 if stop_at else 0)
    assert all(len(curve) == stop_at for curve in result.curves)
    assert result.vectors.norm(dim=1).tolist() == pytest.approx([CONFIG.radius] * kept, rel=1e-5)
    assert result.objective == [curve[-1] for curve in result.curves]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backwards", [False, True])
def test_stop_is_noticed_within_one_block_forwards_and_backwards(piece, method, backwards):
    """Stop turns true inside the middle one of the second step's three blocks."""
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), 0, 3)
    seen, pressed = [], []

    def count(*_):
        if pressed:
            seen.append(1)
        elif len(step) == 1:
            calls.append(1)
            if len(calls) == 2:
                pressed.append(True)

    step, calls = [], []
    training = train(piece, replace(CONFIG, method=method, vectors=2, target=3), lambda: bool(pressed))
    step.append(next(training))
    hook = nn.Module.register_full_backward_hook if backwards else nn.Module.register_forward_hook
    handles = [hook(block, count) for block in lm.blocks]
    with pytest.raises(StopIteration) as end:
        next(training)
    for handle in handles:
        handle.remove()
    assert pressed
    assert end.value.value.stopped
    assert seen == []


@pytest.mark.parametrize("method", METHODS)
def test_progress_counts_every_step_of_the_whole_run(piece, method):
    config = replace(CONFIG, method=method)
    total = 18 if method == "sequential" else 6
    steps, result = listen(train(piece, config))
    assert [step.done for step in steps] == list(range(1, total + 1))
    assert {step.total for step in steps} == {total}
    assert steps[-1].seconds_left == pytest.approx(0)
    assert all(step.seconds_left >= 0 for step in steps)
    want = [0] * 5 + [1] * 6 + [2] * 6 + [3] if method == "sequential" else [3] * 6
    assert [step.finished for step in steps] == want
    assert steps[0].stage == ("vector 1 of 3" if method == "sequential" else "step 1 of at most 6")
    assert steps[-1].curves == result.curves
    assert len(result.curves) == 3
    assert not result.stopped
    assert result.seconds > 0


def test_curves_grow_by_one_value_a_step(piece):
    lengths = [list(map(len, step.curves)) for step in train(piece, CONFIG)]
    assert lengths == [[n] * 3 for n in range(1, 7)]


def test_each_method_has_its_own_number_of_steps():
    assert TrainingConfig(0, 2, 1.0, method="sequential").total_steps == DEFAULT_STEPS["sequential"] == 300
    assert TrainingConfig(0, 2, 1.0, method="joint").total_steps == DEFAULT_STEPS["joint"] == 60
    assert TrainingConfig(0, 2, 1.0, steps=5).total_steps == 5


def test_q_is_p_where_it_is_left_out(piece):
    given = [trained(piece, replace(CONFIG, p=4, q=q)).vectors for q in (None, 4, 2)]
    assert torch.equal(given[0], given[1])
    objectives = [trained(piece, replace(CONFIG, p=4, q=q)).objective for q in (None, 4, 2)]
    assert objectives[0] == objectives[1] != objectives[2]


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({"target": 0}, "target layer", "Choose 1 or more"),
        ({"source": 3, "target": 1}, "target layer", "1 is not above the source layer 3. Choose 4 or more"),
        ({"radius": 0.0}, "R", "must be a finite number greater than 0"),
        ({"radius": -2.0}, "R", "must be a finite number greater than 0, not -2.0"),
        ({"radius": math.nan}, "R", "must be a finite number greater than 0"),
        ({"radius": math.inf}, "R", "must be a finite number greater than 0"),
        ({"vectors": 0}, "vectors", "Choose 1 to 4,096"),
        ({"vectors": -1}, "vectors", "-1 is out of range"),
        ({"steps": 0}, "steps", "Choose 1 to 1,000,000,000"),
        ({"p": 0.0}, "p", "Choose a number greater than 0"),
        ({"p": math.nan}, "p", "Choose a number greater than 0"),
        ({"q": -1.0}, "q", "Choose a number greater than 0"),
        ({"q": math.inf}, "q", "Choose a number greater than 0"),
        ({"seed": -1}, "seed", "-1 is out of range. Choose 0 to 9,223,372,036,854,775,807"),
        ({"seed": 2**63}, "seed", "Choose 0 to 9,223"),
        ({"method": "gradient"}, "method", "'gradient' is not known. Choose joint, .*, contrast-pca or random"),
        ({"orthogonality": -1.0}, "orthogonality", "-1.0 cannot be used. Choose 0 or more"),
        ({"orthogonality": math.nan}, "orthogonality", "nan cannot be used"),
        ({"saturation": -0.1}, "saturation", "-0.1 cannot be used. Choose 0 or more"),
        ({"agreement": math.inf}, "agreement", "inf cannot be used"),
        ({"temperature": 0.0}, "temperature", "0.0 cannot be used. Choose 0.01 or more"),
        ({"agreement_form": "ratio"}, "agreement form", "'ratio' is not known. Choose numerator or contrastive"),
        (
            {"agreement": 0.1, "agreement_form": "contrastive", "method": "sequential"},
            "agreement form",
            "compares vectors that are trained at once. Choose numerator",
        ),
        ({"agreement": 0.1, "agreement_form": "contrastive", "vectors": 1}, "agreement form", "2 vectors or more"),
        ({"scope": "some"}, "scope", "'some' is not known. Write all, content, assistant or last:4"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, field, part):
    with pytest.raises(InputError, match=part) as caught:
        replace(CONFIG, **change)
    assert caught.value.field == field


def test_more_vectors_than_dimensions_are_refused(piece):
    with pytest.raises(InputError, match="33 cannot be orthogonal in 32 dimensions. Choose 32 or fewer") as caught:
        train(piece, replace(CONFIG, vectors=WIDTH + 1))
    assert caught.value.field == "vectors"


def test_directions_with_both_signs_are_at_most_twice_the_dimensions(piece):
    jacobian = replace(CONFIG, method="jacobian", vectors=2 * WIDTH, steps=None)
    assert result_of(train(piece, jacobian)).vectors.shape == (2 * WIDTH, WIDTH)
    with pytest.raises(InputError, match="65 cannot be orthogonal in 32 dimensions. Choose 64 or fewer"):
        train(piece, replace(jacobian, vectors=2 * WIDTH + 1))


def test_a_scope_that_leaves_a_prompt_empty_is_refused_before_the_first_step(piece):
    with pytest.raises(InputError, match="no token of prompt 1 is in the scope assistant. Use last:4") as caught:
        train(piece, replace(CONFIG, scope="assistant"))
    assert caught.value.field == "scope"


def test_soft_orthogonality_can_train_more_vectors_than_there_are_dimensions(piece):
    result = trained(piece, replace(CONFIG, method="soft-theta", vectors=WIDTH + 3, steps=2))
    assert result.vectors.shape == (WIDTH + 3, WIDTH)


@pytest.fixture(scope="module")
def exact():
    """A model in float64, none of whose parts falls back to float32."""
    lm = tiny("gpt2", dtype=torch.float64)
    return ModelSlice(lm, encoded(lm, *TEXTS), 0, 2)


def slope_of(ascent, thetas, coupling=None):
    return result_of(ascent.slope(thetas, None, coupling))


COUPLED = {
    "nothing": ({}, None),
    "numerator": ({"agreement": 0.7}, None),
    "contrastive": ({"agreement": 0.7, "agreement_form": "contrastive"}, None),
    "penalty": ({}, lambda scoped: -3 * cosine_penalty(scoped.flatten(1))),
    "both": (
        {"agreement": 0.7, "agreement_form": "contrastive"},
        lambda scoped: -3 * cosine_penalty(scoped.flatten(1)),
    ),
}


@pytest.mark.parametrize("terms", COUPLED)
@pytest.mark.parametrize("batch", [2, 5])
def test_the_slope_equals_central_differences_in_whatever_batches(exact, terms, batch):
    settings, coupling = COUPLED[terms]
    ascent = Ascent(exact, replace(CONFIG, vectors=5, **settings), batch)
    thetas = random_thetas(5, dtype=torch.float64)
    gradients = slope_of(ascent, thetas, coupling).gradients
    step = 1e-5
    for row, column in [(0, 3), (1, 17), (2, 30), (4, 8)]:
        nudge = torch.zeros_like(thetas)
        nudge[row, column] = step
        rise = slope_of(ascent, thetas + nudge, coupling).height - slope_of(ascent, thetas - nudge, coupling).height
        assert float(gradients[row, column]) == pytest.approx(rise / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("terms", COUPLED)
def test_the_slope_does_not_depend_on_the_size_of_a_batch(exact, terms):
    settings, coupling = COUPLED[terms]
    config = replace(CONFIG, vectors=5, **settings)
    thetas = random_thetas(5, dtype=torch.float64)
    whole, *parts = (slope_of(Ascent(exact, config, batch), thetas, coupling) for batch in (5, 1, 2, 4))
    for part in parts:
        torch.testing.assert_close(part.values, whole.values, rtol=1e-12, atol=0)
        torch.testing.assert_close(part.gradients, whole.gradients, rtol=1e-9, atol=1e-12)
        assert part.height == pytest.approx(whole.height, rel=1e-12)


def test_the_height_is_the_objective_written_out(exact):
    """Σ log J_k + λ · log numerator − ½ μ Σ cos²(δ_i, δ_j), with J, cosines and exponentials spelt out."""
    config = replace(CONFIG, vectors=3, agreement=0.7, temperature=0.4)
    thetas = random_thetas(3, dtype=torch.float64)
    found = slope_of(Ascent(exact, config, 3), thetas, lambda scoped: -2 * cosine_penalty(scoped.flatten(1)))
    with torch.no_grad():
        deltas, mask = exact.deltas(thetas), exact.encoded.attention_mask.bool()
    want = 0.0
    for delta in deltas:
        want += math.log(sum(float(delta[row][mask[row]].norm()) for row in (0, 1)))
        first, second = (delta[row][mask[row]].mean(dim=0) for row in (0, 1))
        want += 0.7 * float(torch.cosine_similarity(first, second, dim=0)) / 0.4
    flat = deltas[:, mask].flatten(1)
    for one, other in itertools.combinations(flat, 2):
        want -= 2 * float(torch.cosine_similarity(one, other, dim=0)) ** 2
    assert found.height == pytest.approx(want, rel=1e-9)


def written_objective(piece, config, thetas):
    """Σ (q/p) log J_k less λ/2 Σ_{i≠j} cos²(z_i, z_j), plus agreement, straight from the formulas."""
    mask = piece.encoded.attention_mask.bool()
    deltas = piece.deltas(thetas)
    q = config.p if config.q is None else config.q
    norms = deltas.norm(dim=-1)
    j = sum((norms[:, row][:, mask[row]] ** config.p).sum(dim=1) ** (1 / q) for row in range(len(mask)))
    total = (j.log() * q / config.p).sum()
    if config.method != "joint":
        z = thetas if config.method == "soft-theta" else deltas[:, mask].flatten(1)
        cosines = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=-1)
        total = total - config.orthogonality / 2 * (cosines.square().sum() - len(z))
    if config.agreement:
        means = torch.stack([deltas[:, row][:, mask[row]].mean(dim=1) for row in range(len(mask))], dim=1)  # [V, P, d]
        for k, own in enumerate(means):
            pairs = itertools.permutations(range(len(mask)), 2)
            same = [torch.cosine_similarity(own[a], own[b], dim=0) / config.temperature for a, b in pairs]
            total = total + config.agreement * torch.stack(same).exp().mean().log()
            if config.agreement_form == "contrastive":
                others = [
                    torch.cosine_similarity(own[a], means[other][a], dim=0) / config.temperature
                    for a in range(len(mask)) for other in range(len(means)) if other != k
                ]  # fmt: skip
                total = total - config.agreement * torch.stack(others).exp().mean().log()
    return total


def written_steps(piece, config, count):
    """Vectors before each of ``count`` steps along the normalised gradient of what is written out above."""
    generator = torch.Generator().manual_seed(config.seed)
    rows = random_rows(config.vectors, WIDTH, config.radius, generator).double()
    for step in range(count + 1):
        if config.method == "joint":  # the orthogonal factor of the polar decomposition
            left, _, right = torch.linalg.svd(rows, full_matrices=False)
            thetas = config.radius * left @ right
        else:
            thetas = config.radius * rows / rows.norm(dim=1, keepdim=True)
        yield thetas
        leaf = thetas.requires_grad_()
        gradient = torch.autograd.grad(written_objective(piece, config, leaf), leaf)[0]
        unit = thetas.detach() / config.radius
        gradient = gradient - (gradient * unit).sum(dim=1, keepdim=True) * unit
        angle = math.tan(0.8 * 0.9**step)
        rows = thetas.detach() + angle * config.radius * gradient / gradient.norm(dim=1, keepdim=True)


WRITTEN = [
    {"method": "joint", "p": 4.0, "q": 2.0},
    {"method": "soft-theta", "orthogonality": 5.0, "p": 2.0, "q": 1.0},
    {"method": "soft-delta", "orthogonality": 5.0},
    {"method": "joint", "agreement": 0.7, "temperature": 0.3, "agreement_form": "contrastive", "p": 2.0, "q": 1.0},
]


@pytest.mark.parametrize("settings", WRITTEN)
def test_steps_are_those_of_the_objective_written_out(exact, settings):
    config = replace(CONFIG, **settings)
    *_, want = written_steps(exact, config, 3)
    torch.testing.assert_close(
        trained(exact, replace(config, steps=3)).vectors.double(), want.detach(), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("settings", WRITTEN)
def test_what_is_told_to_have_risen_is_that_objective(exact, settings):
    config = replace(CONFIG, **settings)
    heights = [float(written_objective(exact, config, thetas).detach()) for thetas in written_steps(exact, config, 5)]
    steps, _ = listen(train(exact, replace(config, steps=6)))
    told = re.search(r"rose by (-?\d+\.\d) %", next(one.stage for one in steps if one.stage.startswith("step 6")))
    assert float(told[1]) == pytest.approx(100 * math.expm1((heights[5] - heights[1]) / config.vectors), abs=0.051)


@pytest.mark.parametrize("method", CLIMBING)
def test_further_steps_gain_less_than_three_percent(piece, method, monkeypatch):
    config = replace(CONFIG, method=method, vectors=4, steps=80)
    arrived = trained(piece, config)
    assert 20 < arrived.steps < 40
    monkeypatch.setattr("melbo_app.engine.climb.LEAST_RISE", 1e-9)
    beyond = trained(piece, config)
    assert beyond.steps >= arrived.steps
    assert sum(map(math.log, beyond.objective)) / 4 < sum(map(math.log, arrived.objective)) / 4 + 0.03


@pytest.mark.parametrize("method", CLIMBING)
def test_the_bar_goes_forward_only_and_ends_full(piece, method):
    steps, _ = listen(train(piece, replace(CONFIG, method=method, steps=None, radius=6.0)))
    shares = [step.done / step.total for step in steps]
    assert all(later >= earlier for earlier, later in itertools.pairwise(shares))
    assert shares[-2] < shares[-1] == 1
    assert steps[-1].done == len(steps) < DEFAULT_STEPS[method]
    assert re.fullmatch(r"step \d+: objective rose by -?\d+\.\d % in 4 steps, ends below 1 %", steps[-1].stage)


def mean_cosines(piece, vectors):
    """Mean |cos| off the diagonal, of θ and of δ."""
    mask = piece.encoded.attention_mask.bool()
    pairs = []
    for rows in (vectors, piece.deltas(vectors)[:, mask].flatten(1)):
        unit = torch.nn.functional.normalize(rows.double(), dim=1)
        gram = (unit @ unit.T).abs()
        pairs.append(float((gram.sum() - gram.diagonal().sum()) / (gram.numel() - len(gram))))
    return pairs


def test_soft_orthogonality_brings_down_the_cosines_it_names(piece):
    config = replace(CONFIG, vectors=8, steps=40)
    free = mean_cosines(piece, trained(piece, replace(config, method="soft-theta", orthogonality=0.0)).vectors)
    theta = mean_cosines(piece, trained(piece, replace(config, method="soft-theta", orthogonality=10.0)).vectors)
    delta = mean_cosines(piece, trained(piece, replace(config, method="soft-delta", orthogonality=10.0)).vectors)
    assert theta[0] < 0.5 * free[0]
    assert delta[1] < 0.5 * free[1] and delta[1] < theta[1]


@pytest.mark.parametrize("form", ["numerator", "contrastive"])
def test_agreement_makes_vectors_do_the_same_in_all_prompts(form):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS, "heat"), 0, 2)
    config = replace(CONFIG, vectors=4, steps=30)
    agreements = []
    for options in ({}, {"agreement": 5.0, "agreement_form": form}):
        vectors = trained(piece, replace(config, **options)).vectors
        deltas, mask = piece.deltas(vectors), piece.encoded.attention_mask.bool()
        means = torch.stack([deltas[:, row, mask[row]].mean(dim=1) for row in range(3)], dim=1)
        unit = torch.nn.functional.normalize(means, dim=-1)
        agreements.append(float((unit @ unit.mT).sum() - 12) / 24)
    assert agreements[1] > agreements[0] + 0.1


def test_agreement_needs_two_prompts():
    lm = tiny("llama")
    alone = ModelSlice(lm, encoded(lm, "hello"), 0, 2)
    with pytest.raises(InputError, match="agreement: there is only one prompt. Train on two prompts or more"):
        train(alone, replace(CONFIG, agreement=0.1))


def test_sequential_vectors_do_not_depend_on_how_many_follow(piece):
    config = replace(CONFIG, method="sequential")
    few, many = (trained(piece, replace(config, vectors=count)).vectors for count in (2, 4))
    assert torch.equal(few, many[:2])
    assert all(abs(float(a @ b)) < 1e-4 * CONFIG.radius**2 for a, b in itertools.combinations(many, 2))


def test_between_two_batches_of_one_step_others_may_compute(piece, monkeypatch):
    whole, expected = listen(train(piece, CONFIG))
    monkeypatch.setattr("melbo_app.engine.slice.TOKENS_AT_ONCE", piece.encoded.input_ids.numel())
    parts, result = listen(train(piece, CONFIG))
    assert len(whole) == CONFIG.total_steps
    assert len(parts) == CONFIG.total_steps * CONFIG.vectors
    assert [progress.done for progress in parts[: CONFIG.vectors]] == [0, 0, 1]
    assert torch.allclose(result.vectors, expected.vectors, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_an_objective_that_leaves_the_range_of_numbers_names_p_and_q(piece, method):
    with pytest.raises(InputError, match="p = 60 and q = 0.5 .* Choose p = 2"):
        trained(piece, replace(CONFIG, method=method, p=60.0, q=0.5))


@pytest.mark.parametrize("method", METHODS)
def test_a_high_power_with_its_own_root_trains(piece, method):
    result = trained(piece, replace(CONFIG, method=method, p=60.0))
    assert result.vectors.isfinite().all()
    assert all(end > curve[0] for end, curve in zip(result.objective, result.curves, strict=True))
