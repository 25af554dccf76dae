"""Deep causal transcoding finds the directions in and out of a planted map, and what it finds is what steering does."""

import pytest
import torch
from planted import found_on, unit_rows
from tiny_models import WIDTH, encoded, tiny

from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.training import train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of

D, PLANTED = 64, 8
ALPHAS = torch.linspace(2.0, 0.8, PLANTED)
ACTIVATIONS = {
    "exponential": (torch.expm1, 4.0),
    "threshold": (lambda x: torch.sigmoid(4 * (x - 1)) - torch.sigmoid(torch.tensor(-4.0)), 1.0),
}


def planted(activation, orthogonal, seed):
    """Inputs [m, d], outputs [m, d], and Δ(θ) = Σ α σ(⟨v, θ⟩) u."""
    inputs, outputs = unit_rows(PLANTED, D, seed), unit_rows(PLANTED, D, seed + 100)
    if orthogonal:
        inputs = torch.linalg.qr(inputs.T).Q.T
    return inputs, outputs, lambda thetas: (ALPHAS * activation(thetas @ inputs.T)) @ outputs


@pytest.mark.parametrize("start", ["random", "jacobian"])
@pytest.mark.parametrize("vectors", [PLANTED, 2 * PLANTED])
@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_planted_direction_is_found_with_what_it_does(name, orthogonal, vectors, start):
    activation, radius = ACTIVATIONS[name]
    inputs, outputs, change = planted(activation, orthogonal, seed=3)
    config = TrainingConfig(0, 1, radius, vectors, "transcoding", scope="all", start=start)
    found = found_on(change, D, config)
    cosines = inputs @ (found.vectors / radius).T
    best = cosines.argmax(dim=1)
    assert cosines.max(dim=1).values.min() > 0.95
    assert len(set(best.tolist())) == PLANTED
    assert (outputs * found.output_directions[best]).sum(dim=1).min() > 0.95


def test_vectors_come_in_the_order_of_alpha_which_is_that_of_the_planted_strengths():
    inputs, _, change = planted(torch.expm1, True, seed=5)
    found = found_on(change, D, TrainingConfig(0, 1, 4.0, 2 * PLANTED, "transcoding", scope="all"))
    assert found.strength == sorted(found.strength, reverse=True)
    assert (inputs @ found.vectors.T).argmax(dim=1).tolist() == list(range(PLANTED))
    assert found.strength[PLANTED] < 0.2 * found.strength[PLANTED - 1]  # what was not planted is weak


def test_alpha_is_the_planted_one_where_the_map_is_the_model_itself():
    """At R = 1 the planted map is the transcoder: σ(⟨v, θ⟩ / R) with σ = exp − 1."""
    inputs, outputs = unit_rows(3, D, 1), torch.linalg.qr(unit_rows(3, D, 2).T).Q.T
    inputs = torch.linalg.qr(inputs.T).Q.T
    alphas = torch.tensor([3.0, 2.0, 1.0])
    config = TrainingConfig(0, 1, 1.0, 3, "transcoding", 60, scope="all")
    found = found_on(lambda thetas: (alphas * torch.expm1(thetas @ inputs.T)) @ outputs, D, config)
    assert found.strength == pytest.approx([3.0, 2.0, 1.0], rel=0.05)


def test_the_fitted_map_gives_what_was_measured_at_each_of_its_vectors():
    _, _, change = planted(torch.expm1, False, seed=7)
    radius = 3.0
    found = found_on(change, D, TrainingConfig(0, 1, radius, 6, "transcoding", scope="all"))
    unit = found.vectors / radius
    model = torch.expm1(unit @ unit.T) * torch.tensor(found.strength) @ found.output_directions
    along = (model * found.output_directions).sum(dim=1)
    torch.testing.assert_close(along, change(found.vectors).norm(dim=1), rtol=1e-4, atol=1e-4)


def full_pass(lm, text, source, target, theta):
    """Output of block ``target`` on one unpadded prompt with θ added by the hook that steers completions."""
    ids, seen = torch.tensor([lm.tokenizer(text)["input_ids"]]), []
    handle = lm.blocks[target].register_forward_hook(
        lambda _module, _args, output: seen.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    with torch.no_grad(), steer(lm, source, add_rows(theta[None])):
        lm.model(ids, use_cache=False)
    handle.remove()
    return seen[0][0]


@pytest.mark.parametrize(
    ("name", "scope"), [("llama", "last:3"), ("gemma2", "last:3"), ("bloom", "last:3"), ("llama", "all")]
)
def test_steering_with_a_vector_moves_the_target_along_its_output_direction(name, scope):
    """The whole way: padding, scope, rows and columns, and the place where θ is added are those of a completion.

    The two prompts count the same, however many tokens they have in scope.
    """
    lm, texts = tiny(name), ("the heath is wide", "hello")
    piece = ModelSlice(lm, encoded(lm, *texts), 0, 2)
    found = result_of(train(piece, TrainingConfig(0, 2, 2.0, 3, "transcoding", 5, scope=scope)))
    last = 3 if scope == "last:3" else 0
    for vector, direction in zip(found.vectors, found.output_directions, strict=True):
        changes = [full_pass(lm, text, 0, 2, vector) - full_pass(lm, text, 0, 2, torch.zeros(WIDTH)) for text in texts]
        mean = torch.stack([change[-last:].mean(dim=0) for change in changes]).mean(dim=0)
        torch.testing.assert_close(mean / mean.norm(), direction, atol=1e-4, rtol=0)


def test_the_last_step_does_not_make_two_vectors_one():
    """From the weak direction the way up leads to the strong one, which does the same."""
    strong, weak = torch.linalg.qr(unit_rows(2, D, 1).T).Q.T
    output = unit_rows(1, D, 2)

    def change(thetas):
        return (2.0 * torch.expm1(thetas @ strong) + 0.05 * torch.expm1(thetas @ weak))[:, None] * output

    found = found_on(change, D, TrainingConfig(0, 1, 1.0, 2, "transcoding", scope="all"))
    torch.testing.assert_close(found.vectors @ torch.stack([strong, weak]).T, torch.eye(2), atol=0.03, rtol=0)


def test_the_effect_grows_over_the_steps():
    _, _, change = planted(torch.expm1, False, seed=9)
    found = found_on(change, D, TrainingConfig(0, 1, 4.0, PLANTED, "transcoding", scope="all"))
    assert all(end > 3 * curve[0] for end, curve in zip(found.objective, found.curves, strict=True))


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_stopped_run_keeps_vectors_whose_effect_is_known(stop_at):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, "the heath", "hello"), 0, 2)
    pressed = []
    training = train(piece, TrainingConfig(0, 2, 2.0, 3, "transcoding", 5, scope="all"), lambda: bool(pressed))
    for _ in range(stop_at):
        next(training)
    pressed.append(True)
    found = result_of(training)
    assert found.stopped and found.steps == stop_at
    assert all(len(curve) == stop_at for curve in found.curves)
    assert found.objective == [curve[-1] for curve in found.curves]
    mask = piece.encoded.attention_mask.bool()
    norms = piece.deltas(found.vectors).masked_fill(~mask[..., None], 0).square().sum(dim=(2, 3)).sqrt().sum(dim=1)
    assert norms.tolist() == pytest.approx(found.objective, rel=1e-4)
    assert found.strength == sorted(found.strength, reverse=True)
