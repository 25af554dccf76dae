"""Memory: what one vector needs, and what is done when there is too little."""

import dataclasses
import gc
import re
from types import SimpleNamespace

import psutil
import pytest
import torch
from benches import save_tiny
from tiny_models import FAMILIES, KINDS, encoded, lent, random_thetas, tiny

from melbo_app.engine.memory import budget, bytes_per_vector, rows_at_once, weights_bytes
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import train, vectors_at_once
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError

LONG = "the heath is wide and the wind blows over it all day long, and"


class Live:
    """The most bytes of tensors that were alive at once, as PyTorch's own allocator counts them."""

    def __init__(self):
        self.peak = 0

    def __enter__(self):
        self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
        self.profile.__enter__()
        return self

    def __exit__(self, *error):
        self.profile.__exit__(*error)
        level = 0
        for event in sorted(self.profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
            if event.name() == "[memory]":
                level += event.nbytes()
                self.peak = max(self.peak, level)


def measured(lm, batch, target, vectors):
    """Bytes that a first forward and backward pass take at its height, beyond what was there before."""
    piece = ModelSlice(lm, batch, 0, target)
    thetas = random_thetas(vectors).requires_grad_()
    with Live() as live:
        torch.autograd.grad(piece.deltas(thetas).square().sum(), thetas)
    return live.peak


@pytest.mark.parametrize(
    ("family", "texts", "target"),
    [
        *((family, (LONG, LONG[:20], LONG[:9]), 3) for family in FAMILIES),
        *((family, (LONG,), 3) for family in KINDS),
        *((family, (LONG, LONG[::-1]), 1) for family in KINDS),
    ],
)
def test_the_estimate_is_near_what_training_takes(family, texts, target):
    lm = lent(family)
    batch = encoded(lm, *texts)
    each = (measured(lm, batch, target, 7) - measured(lm, batch, target, 3)) / 4
    need = bytes_per_vector(lm, batch, 0, target)
    assert need / 4 < each < 1.5 * need


def test_it_grows_with_the_prompt_the_number_of_prompts_and_the_distance_of_the_layers(kind):
    lm = lent(kind)

    def need(target, *texts):
        return bytes_per_vector(lm, encoded(lm, *texts), 0, target)

    short = need(2, LONG[:20])
    assert need(2, LONG[:40]) == pytest.approx(2 * short, rel=0.5)
    assert need(2, LONG[:40]) >= 2 * short - 10
    assert need(2, LONG[:20], LONG[20:40]) == pytest.approx(2 * short, abs=2)
    assert need(3, LONG[:20]) > 1.3 * short


def test_kept_attention_weights_grow_with_the_square_of_the_prompt():
    lm = tiny("bloom")  # computes attention by hand and keeps its weights
    per_token = [bytes_per_vector(lm, encoded(lm, "x" * n), 0, 2) / n for n in (100, 1000)]
    assert per_token[1] > 3 * per_token[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_prompts_need_no_more_than_their_share_where_short_ones_keep_attention_weights(dtype):
    lm = tiny("llama", dtype=dtype, max_position_embeddings=1000)
    per_token = [bytes_per_vector(lm, encoded(lm, "x" * n), 0, 2) / n for n in (200, 900)]
    assert per_token[1] == pytest.approx(per_token[0], rel=0.3)


def test_the_estimate_works_where_the_context_is_shorter_than_what_is_tried():
    lm = tiny("gpt2", n_positions=20)
    assert bytes_per_vector(lm, encoded(lm, "hello"), 0, 2) > 0


def test_the_budget_is_what_was_given_or_a_share_of_what_is_free(monkeypatch):
    lm = tiny("llama")
    assert budget(lm, 1.5) == 1.5e9
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    assert budget(lm) == 700


def gigabytes(lm, batch, vectors):
    """A budget for so many vectors and a half."""
    return (vectors + 0.5) * bytes_per_vector(lm, batch, 0, 2) / 1e9


@pytest.mark.parametrize("vectors", [1, 2, 7])
def test_a_budget_for_so_many_vectors_is_a_batch_of_so_many(vectors):
    lm = tiny("llama")
    batch = encoded(lm, "hello", "the heath")
    assert vectors_at_once(ModelSlice(lm, batch, 0, 2), gigabytes(lm, batch, vectors)) == vectors


def test_too_little_memory_is_refused_with_both_numbers_before_anything_is_trained(monkeypatch):
    lm = tiny("llama")
    batch = encoded(lm, "hello", "the heath")
    piece = ModelSlice(lm, batch, 0, 2)
    monkeypatch.setattr("melbo_app.engine.training.bytes_per_vector", lambda *_: int(3.25e9))
    with pytest.raises(InputError, match=re.escape("need 3.25 GB for each vector and 1.5 GB may")) as caught:
        train(piece, TrainingConfig(0, 2, 1.0, scope="all"), memory_gb=1.5)
    assert caught.value.field == "memory"
    assert "2 prompts of up to 7 tokens" in str(caught.value)
    assert "fewer or shorter prompts" in caught.value.remedy


def test_numbers_too_small_for_gibibytes_are_told_apart():
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, "hello"), 0, 2)
    with pytest.raises(InputError) as caught:
        train(piece, TrainingConfig(0, 2, 1.0, scope="all"), memory_gb=1e-6)
    need, have = re.search(r"need (\S+ \S+) for each vector and (\S+ \S+) may", str(caught.value)).groups()
    assert need != have
    assert not need.startswith("0.00 ")


def test_what_vectors_are_compared_by_must_fit_as_a_whole():
    lm = tiny("llama")
    batch = encoded(lm, "hello", "the heath")
    piece = ModelSlice(lm, batch, 0, 2)
    tokens = int(batch.attention_mask.sum())
    need = 4 * 4 * 1000 * tokens * 32
    config = TrainingConfig(0, 2, 1.0, 1000, "soft-delta", scope="all")
    enough = need / 1e9
    assert gigabytes(lm, batch, 1) < enough  # a batch fits well
    train(piece, config, memory_gb=1.01 * enough)
    with pytest.raises(InputError, match=rf"Δ of 1000 vectors at {tokens} tokens needs .* method soft-theta"):
        train(piece, config, memory_gb=0.99 * enough)
    train(piece, dataclasses.replace(config, method="soft-theta"), memory_gb=0.99 * enough)


@pytest.mark.parametrize("method", ["joint", "sequential", "soft-delta"])
def test_a_budget_for_two_vectors_trains_at_most_two_at_a_time(monkeypatch, method):
    lm = tiny("llama")
    batch = encoded(lm, "hello", "the heath")
    piece = ModelSlice(lm, batch, 0, 2)
    seen = []
    whole = ModelSlice.activations
    monkeypatch.setattr(
        ModelSlice, "activations", lambda self, thetas, stop=None: seen.append(len(thetas)) or whole(self, thetas, stop)
    )
    config = TrainingConfig(0, 2, 2.0, 5, method, 3, scope="all")  # type: ignore[arg-type]
    for progress in train(piece, config, memory_gb=gigabytes(lm, batch, 2)):
        assert dataclasses.is_dataclass(progress)
    seen = [count for count in seen if count > 0]
    assert max(seen) == 2


def test_rows_of_a_batch_follow_memory_and_length_and_are_never_none():
    lm = tiny("llama")
    few, many = rows_at_once(lm, 100, 0.01), rows_at_once(lm, 100, 0.1)
    assert many == pytest.approx(10 * few, rel=0.1)
    assert rows_at_once(lm, 10_000, 0.001) < few
    assert rows_at_once(lm, 10**9, 0.001) == 1


def test_a_row_takes_at_least_what_its_cache_takes():
    lm = tiny("llama")
    tokens = 40
    output = lm.forward(
        torch.ones(1, tokens, dtype=torch.int64), torch.ones(1, tokens, dtype=torch.int64), use_cache=True
    )
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in output.past_key_values.layers)
    assert cache < 1e9 / rows_at_once(lm, tokens, 1.0) < 50 * cache


def test_weights_take_what_their_parameters_take(tmp_path):
    folder = save_tiny(tmp_path / "tiny")
    numbers = sum(parameter.numel() for parameter in tiny("llama").model.parameters())
    assert weights_bytes(folder, torch.float32) == 4 * numbers
    assert weights_bytes(folder, torch.bfloat16) == 2 * numbers


def test_the_estimate_leaves_no_tensor_behind():
    lm = tiny("llama")
    batch = encoded(lm, LONG)

    def tensors():
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    bytes_per_vector(lm, batch, 0, 1)
    gc.collect()
    gc.freeze()  # only what is new is counted
    try:
        before = tensors()
        bytes_per_vector(lm, batch, 0, 1)
        assert tensors() == before
    finally:
        gc.unfreeze()
