"""The supervised references find a planted shift, and are what full passes of the model give."""

import pytest
import torch
from planted import found_on, unit_rows
from tiny_models import encoded, reference_hidden, tiny

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of

D, PAIRS = 48, 40


def config(method, vectors=1, pairs=PAIRS, radius=3.0):
    return TrainingConfig(0, 1, radius, vectors, method, scope="all", against=(Prompt("x"),) * pairs)


def found(method, sides, vectors=1):
    return found_on(lambda thetas: thetas, D, config(method, vectors, len(sides[1])), sides)


def noise(count, seed, size=0.3):
    return size * torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", ["difference-of-means", "contrast-pca"])
def test_a_planted_shift_is_found_with_its_sign_and_size(method):
    shift, common = 5.0 * unit_rows(1, D, 1), noise(PAIRS, 2, size=2.0)
    sides = common + shift + noise(PAIRS, 3), common + noise(PAIRS, 4)
    result = found(method, sides)
    assert result.vectors.norm(dim=1).tolist() == pytest.approx([3.0], rel=1e-5)
    assert float(result.vectors @ shift.T) / (3.0 * 5.0) > 0.98
    size = 5.0 * (PAIRS**0.5 if method == "contrast-pca" else 1)
    assert result.strength == pytest.approx([size], rel=0.1)


def test_two_planted_directions_come_in_the_order_of_their_size_each_toward_the_prompts():
    first, second = torch.linalg.qr(unit_rows(2, D, 5).T).Q.T
    amounts = torch.rand(PAIRS, 2, generator=torch.Generator().manual_seed(6)) + torch.tensor([4.0, 0.0])
    amounts[:, 1] = 3 * (amounts[:, 1] - 0.4)
    differences = amounts @ torch.stack([first, second]) + noise(PAIRS, 7, size=0.02)
    result = found("contrast-pca", (differences, torch.zeros(PAIRS, D)), 2)
    rows = result.vectors / 3.0
    assert torch.linalg.svdvals(rows @ torch.stack([first, second]).T).min() > 0.99
    assert (differences @ rows.T).sum(dim=0).min() >= 0
    assert result.strength[0] > 3 * result.strength[1]


def test_the_means_do_not_need_as_many_prompts_on_both_sides():
    shift = unit_rows(1, D, 1)
    result = found("difference-of-means", (shift.repeat(3, 1), torch.zeros(5, D)))
    torch.testing.assert_close(result.vectors / 3.0, shift)


@pytest.mark.parametrize("method", ["difference-of-means", "contrast-pca"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_on_a_model_it_is_the_difference_of_residuals_at_the_source_in_scope(name, method):
    lm, here, there = tiny(name), ("the heath is wide", "hello"), ("a moor", "good day to you")
    pieces = [ModelSlice(lm, encoded(lm, *texts), 1, 2) for texts in (here, there)]
    setup = TrainingConfig(1, 2, 2.0, 1, method, scope="last:3", against=tuple(map(Prompt, there)))
    result = result_of(train(pieces[0], setup, against=pieces[1]))
    means = [
        torch.stack([reference_hidden(lm, name, text, 1, None)[1][-3:].mean(dim=0) for text in texts])
        for texts in (here, there)
    ]
    differences = means[0] - means[1]
    if method == "difference-of-means":
        want = differences.mean(dim=0)
    else:
        want = torch.linalg.eigh(differences.T @ differences).eigenvectors[:, -1]
        want = want * (differences @ want).sum().sign()
    torch.testing.assert_close(result.vectors[0] / 2.0, want / want.norm(), atol=1e-4, rtol=0)
    mask = torch.zeros(2, pieces[0].baseline.shape[1], dtype=torch.bool)
    mask[:, -3:] = True
    changes = pieces[0].deltas(result.vectors)[:, mask].reshape(1, 2, -1).norm(dim=-1).sum(dim=1)
    assert result.objective == pytest.approx(changes.tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("method", "here", "there", "vectors", "field", "part"),
    [
        ("difference-of-means", 2, 2, 1, "against", "the two sides are the same"),
        ("contrast-pca", 3, 2, 2, "against", "2 prompts cannot be paired with 3. Write one for each"),
        (
            "contrast-pca",
            2,
            2,
            2,
            "vectors",
            "these pairs differ in 0 directions, not 2. Choose fewer, or add",
        ),
    ],
)
def test_sides_that_give_nothing_are_refused(method, here, there, vectors, field, part):
    with pytest.raises(InputError, match=part) as caught:
        found(method, (torch.ones(here, D), torch.ones(there, D)), vectors)
    assert caught.value.field == field


def test_pairs_that_differ_alike_give_one_direction():
    with pytest.raises(InputError, match="differ in 1 direction, not 2"):
        found("contrast-pca", (torch.eye(3, D)[:1].repeat(4, 1), torch.zeros(4, D)), 2)


def test_random_directions_are_as_good_as_any_other():
    """Rows at right angles whose coordinates have the spread of uniform directions: 1/d of their squares each."""
    setup = TrainingConfig(0, 1, 3.0, D, "random", scope="all")
    rows = found_on(lambda thetas: thetas, D, setup).vectors / 3.0
    torch.testing.assert_close(rows @ rows.T, torch.eye(D), atol=1e-5, rtol=0)
    single = [found_on(lambda thetas: thetas, D, TrainingConfig(0, 1, 1.0, 1, "random", scope="all", seed=seed))
              for seed in range(200)]  # fmt: skip
    spread = torch.cat([result.vectors for result in single])
    assert spread.mean(dim=0).abs().max() < 0.05
    assert spread.square().mean(dim=0).tolist() == pytest.approx([1 / D] * D, rel=0.5)
