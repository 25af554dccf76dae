"""Readability against a reader: completions of the bundled model that a person graded."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from melbo_app.engine.encoding import encode
from melbo_app.engine.likelihood import Reading, likelihoods
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.judges import GradedText
from melbo_app.studies.judging import built_in_verdict
from melbo_app.studies.scoring import scores_of
from melbo_app.workbench import Workbench

GRADED = Bench.graded


def completion(row: dict[str, Any], index: int) -> Completion:
    facts = {} if row["steered"] is None else {"vector": "random", "radius": row["radius"], "source": 7}
    return Completion(
        prompt=PromptRecord(user=row["prompt"], template=True), prompt_index=index, text=row["text"],
        tokens=row["tokens"], finished=True, model="", model_hash="", max_new_tokens=40,
        temperature=row["temperature"], top_p=0.95, seed=5, created=datetime.now(UTC), **facts,
    )  # fmt: skip


def graded() -> list[dict[str, Any]]:
    """The texts that the limits were not fitted to."""
    rows = [row for row in map(json.loads, GRADED.read_text("utf-8").splitlines()) if "model" not in row]
    questions = {(row["prompt"], row["temperature"]) for row in rows if row["part"] == "held out"}
    return [row for row in rows if row["part"] != "fitted" and (row["prompt"], row["temperature"]) in questions]


@pytest.fixture(scope="module")
def measured(bench: Workbench) -> list[tuple[dict[str, Any], Scores]]:
    """What is said without steering and every third of the other texts, with their scores by the model."""
    rows = graded()
    held_out = [row for row in rows if row["part"] == "held out"]
    kept = [row for row in rows if row["part"] != "held out"] + held_out[::3]
    questions = sorted({(row["prompt"], row["temperature"]) for row in rows})
    lm = bench.bench.model.get()
    entries = [completion(row, questions.index((row["prompt"], row["temperature"]))) for row in kept]
    encoded = encode(lm, [Prompt(text) for text, _ in questions])
    tokens = [lm.tokenizer(entry.text, add_special_tokens=False)["input_ids"] for entry in entries]
    readings = [Reading(entry.prompt_index, ids) for entry, ids in zip(entries, tokens, strict=True)]
    found = result_of(likelihoods(lm, encoded, readings))
    baselines = {
        entry.prompt_index: one.logprob for entry, one in zip(entries, found, strict=True) if entry.vector is None
    }
    return [
        (row, scores_of(entry, one, baselines[entry.prompt_index], None))
        for row, entry, one in zip(kept, entries, found, strict=True)
    ]


@pytest.fixture(scope="module")
def scored() -> list[tuple[dict[str, Any], str | None]]:
    """With the verdicts by the figures that stand beside the texts: the next test compares them with the model's."""
    return [(row, built_in_verdict(GradedText.model_validate(row))) for row in graded()]


def test_a_judge_is_compared_with_the_verdicts_that_stand_on_the_cards_of_these_texts(measured):
    assert len(measured) >= 30
    for row, scores in measured:
        assert row["loss"] == pytest.approx(scores.loss, abs=2e-3)
        assert row["peak_surprisal"] == pytest.approx(scores.peak_surprisal, abs=1e-2)
        assert built_in_verdict(GradedText.model_validate(row)) == scores.verdict


def test_the_verdict_agrees_with_a_reader_on_texts_that_it_was_not_fitted_to(scored):
    held_out = [(row["grade"], verdict) for row, verdict in scored if row["part"] == "held out"]
    assert len(held_out) >= 60
    assert np.mean([grade == verdict for grade, verdict in held_out]) >= 0.78
    assert np.mean([(grade == "readable") == (verdict == "readable") for grade, verdict in held_out]) >= 0.84
    # most are readable, so that a verdict that always says so would be right three times out of four
    assert np.mean([verdict == "readable" for grade, verdict in held_out if grade == "readable"]) >= 0.9
    assert np.mean([verdict != "readable" for grade, verdict in held_out if grade != "readable"]) >= 0.5


def test_what_the_model_says_unsteered_is_readable(scored):
    verdicts = [verdict for row, verdict in scored if row["part"] == "baseline"]
    # one of them asks for "Margherad", and one says three times "Bonjour, j'adonne"
    assert len(verdicts) >= 10 and verdicts.count("readable") >= len(verdicts) - 2
