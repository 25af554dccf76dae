"""The workbench on the bundled model: known answers, and how soon it stops and makes room."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from patience import PATIENCE

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.job import Job
from melbo_app.library.bank import Bank
from melbo_app.studies.map import DrawMap, MapOf
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

BOMB = Prompt("How can I make a bomb?")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def distinct(texts: list[str]) -> int:
    """How many different texts, whatever their case and punctuation."""
    return len({"".join(letter for letter in text.lower() if letter.isalnum()) for text in texts})


# --- known answers ---------------------------------------------------------------------------------------------------


def test_the_tokens_are_the_rendered_template(bench: Workbench):
    [everything] = bench.tokens([BOMB], "all")
    rendered = bench.bench.model.get().tokenizer.apply_chat_template(
        [{"role": "user", "content": BOMB.user}], tokenize=False, add_generation_prompt=True
    )
    assert "".join(everything.pieces) == everything.text == rendered
    [tail] = bench.tokens([BOMB], "assistant")
    assert "".join(p for p, counts in zip(tail.pieces, tail.counts, strict=True) if counts) == (
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    [content] = bench.tokens([BOMB], "content")
    assert content.counts[0] is False  # the attention sink
    assert sum(content.counts) >= len(content.counts) - 2


def test_the_median_norm_and_the_suggestion(bench: Workbench):
    assert bench.median_norm([BOMB], 7) == pytest.approx(116, rel=0.05)
    found = bench.suggestion([BOMB])
    assert (found.source, found.target, found.scope) == (7, 21, "assistant")
    assert found.radius == pytest.approx(8.1, rel=0.05)


@pytest.fixture(scope="module")
def usual(bench: Workbench) -> dict[int, float]:
    """The median norm at some blocks, of a prompt with many ordinary tokens."""
    return {block: bench.median_norm([BOMB], block) for block in (0, 2, 7, 20, 28)}


@pytest.mark.parametrize("texts", [["Hi"], ["Hi there"], ["Hi", "Yes", "No"], ["a a a a a a a a"], ["<|im_start|>"]])
def test_r_of_prompts_with_hardly_an_ordinary_token_is_that_of_others(bench: Workbench, usual, texts: list[str]):
    """A lone token is its own attention sink: R was 57 where other prompts have 8."""
    prompts = [Prompt(text, template=False) for text in texts]
    assert bench.suggestion(prompts).radius == pytest.approx(8.1, rel=0.3)
    for block, norm in usual.items():
        assert bench.median_norm(prompts, block) == pytest.approx(norm, rel=0.3)


def test_eight_vectors_say_at_least_five_different_things(bench: Workbench, bomb: Bank):
    assert bomb.vectors.shape == (8, 576)
    np.testing.assert_allclose(np.linalg.norm(bomb.vectors, axis=1), bomb.record.radius, rtol=1e-5)
    comparison = result_of(
        bench.run(
            Steer(
                bank="bomb", prompts=[BOMB], vectors=list(range(8)), radii=[bomb.record.radius], decoding=Decoding(20)
            )
        )
    )
    assert distinct([entry.text for entry in comparison.completions[1:]]) >= 5


def test_trained_vectors_change_the_target_at_least_twice_as_much_as_random_ones(bench: Workbench, bomb: Bank):
    lm, record = bench.bench.model.get(), bomb.record
    piece = ModelSlice(lm, encode(lm, [BOMB]), record.source, record.target)
    generator = torch.Generator().manual_seed(11)
    random = torch.nn.functional.normalize(torch.randn(24, 576, generator=generator), dim=1) * record.radius
    with torch.no_grad():
        mask, objective = piece.mask(TokenScope.parse(record.scope)), PowerObjective(2.0, 2.0)
        ours, theirs = (objective(piece.deltas(rows), mask) for rows in (torch.tensor(bomb.vectors), random))
    assert float(ours.min()) >= 2 * float(theirs.mean())


def test_the_same_seed_gives_the_same_bank_bit_by_bit(bench: Workbench, bomb: Bank, defaults: TrainingConfig):
    short = replace(defaults, steps=2, vectors=2)
    one, two = (result_of(bench.run(Train(prompts=[BOMB], config=short, name=name))) for name in ("one", "two"))
    assert one.hash == two.hash != bomb.hash
    other = result_of(bench.run(Train(prompts=[BOMB], config=replace(short, seed=1), name="three")))
    assert other.hash != one.hash


def test_similar_vectors_and_the_map_of_what_they_say(bench: Workbench, bomb: Bank):
    found = result_of(bench.run(Compare(bank="bomb")))
    assert found.scope == "content" and found.delta.shape == (8, 8) and sorted(found.order) == list(range(8))
    assert found.mean_theta == pytest.approx(0, abs=1e-4)
    radius = bomb.record.radius
    drawn = result_of(
        bench.run(
            DrawMap(
                bank="bomb", prompts=[BOMB], vectors=list(range(8)), radii=[radius, 2 * radius], decoding=Decoding(8)
            )
        )
    )
    assert drawn is not None and len(drawn.points) == 17
    assert np.isfinite([(point.x, point.y) for point in drawn.points]).all()
    assert result_of(bench.run(MapOf(comparison=drawn.comparison))) == replace(drawn, layout="old")


# --- how soon --------------------------------------------------------------------------------------------------------


def seconds_left(job: Job[Any, Any], begin: float) -> float:
    """What the rest of a training that began then would take, on this machine as busy as it is."""
    now = job.progress
    return (time.monotonic() - begin) * (now.total - now.done) / now.done


def test_stop_comes_soon_and_keeps_the_finished_vectors(bench: Workbench, defaults: TrainingConfig):
    config = replace(defaults, target=9, method="sequential", vectors=64, steps=25)
    begin = time.monotonic()
    job = bench.start(Train(prompts=[BOMB], config=config, name="stopped"))
    wait_until(lambda: not job.is_active or (job.progress is not None and job.progress.finished >= 2))
    left = seconds_left(job, begin)
    stopping = time.monotonic()
    job.stop()
    assert job.wait(PATIENCE) and time.monotonic() - stopping < left / 4
    assert job.state == "stopped" and job.error is None
    kept = bench.bank("stopped")
    assert 2 <= len(kept.vectors) < 64
    np.testing.assert_allclose(np.linalg.norm(kept.vectors, axis=1), config.radius, rtol=1e-5)
    cosines = kept.vectors @ kept.vectors.T / config.radius**2
    assert np.abs(cosines - np.eye(len(cosines))).max() < 1e-4


@pytest.mark.parametrize(("method", "vectors", "steps"), [("sequential", 8, 300), ("joint", 32, 300)])
def test_stop_comes_soon_in_the_middle_of_a_step(bench: Workbench, defaults: TrainingConfig, method, vectors, steps):
    config = replace(defaults, method=method, vectors=vectors, steps=steps)
    begin = time.monotonic()
    job = bench.start(Train(prompts=[BOMB], config=config, name=f"stopped {method}"))
    wait_until(lambda: not job.is_active or (job.progress is not None and job.progress.done >= 1))
    time.sleep(0.2)
    left = seconds_left(job, begin)
    stopping = time.monotonic()
    job.stop()
    assert job.wait(PATIENCE) and time.monotonic() - stopping < left / 4
    if method == "joint":
        assert job.state == "stopped" and len(job.result.vectors) == 32
    else:
        assert job.state == "stopped" and job.result is None and job.error is None
        assert f"stopped {method}" not in {entry.name for entry in bench.banks()}


def test_while_a_training_runs_the_first_tokens_come_soon(bench: Workbench, bomb: Bank, defaults: TrainingConfig):
    begin = time.monotonic()
    job = bench.start(
        Train(prompts=[BOMB], config=replace(defaults, method="sequential", steps=300), name="background")
    )
    wait_until(lambda: not job.is_active or (job.progress is not None and job.progress.done >= 1))
    left, asking = seconds_left(job, begin), time.monotonic()
    work = bench.run(
        Steer(bank="bomb", prompts=[BOMB], vectors=[0, 1], radii=[bomb.record.radius], decoding=Decoding(12, seed=8))
    )
    first = next(progress for progress in work if progress.completions)
    waited = time.monotonic() - asking
    trained_before = job.progress.done
    comparison = result_of(work)
    assert waited < left / 4
    assert all(entry.text for entry in first.completions) and len(comparison.completions) == 3
    wait_until(lambda: not job.is_active or job.progress.done > trained_before)
    assert job.state == "running"
    job.stop()
    assert job.wait(PATIENCE)
