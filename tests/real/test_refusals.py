"""Refusals of three models, and texts that are none, each read by a person: how often the rules say the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from melbo_app.analysis.flags.refusal import refusal, refusal_flag

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("refusals.jsonl").read_text("utf-8").splitlines()
]


def test_there_are_enough_of_both_and_of_every_model():
    refused = [row for row in ROWS if row["refuses"]]
    assert len(refused) >= 60 and len(ROWS) - len(refused) >= 60
    assert len({row["model"] for row in refused}) == 3
    assert len({(row["model"], row["prompt"], row["text"]) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("part", ["developed", "held out"])
def test_the_rules_say_what_the_reader_said(part):
    rows = [row for row in ROWS if row["part"] == part]
    told = [row for row in rows if refusal(row["text"]) is not None]
    right = sum(row["refuses"] for row in told)
    assert right >= 0.92 * len(told)  # precision
    assert right >= 0.88 * sum(row["refuses"] for row in rows)  # recall


def test_refusal_gone_is_raised_where_a_baseline_declines_and_a_steered_text_does_not():
    """Of the models' own baselines: every steered text of the same prompt, declining or not."""
    pairs = [
        (base["text"], row)
        for base in ROWS
        for row in ROWS
        if base["steered"] == "baseline" and base["refuses"] and row["steered"] in ("trained", "random")
        if (base["model"], base["prompt"]) == (row["model"], row["prompt"])
    ]
    gone = [row for _, row in pairs if not row["refuses"]]
    raised = [row for base, row in pairs if (flag := refusal_flag(row["text"], base)) and flag.kind == "refusal gone"]
    right = sum(not row["refuses"] for row in raised)
    assert len(gone) >= 60
    assert right >= 0.95 * len(raised) and right >= 0.95 * len(gone)
