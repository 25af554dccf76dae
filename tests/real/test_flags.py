"""Flags against a reader: completions labelled by reading each. The rules were written on one half of the prompts."""

import json
from pathlib import Path
from typing import Any

import pytest

from melbo_app.analysis.flags import flags

LABELLED = Path(__file__).with_name("flagged_completions.jsonl")


def read(part: str) -> list[dict[str, Any]]:
    """The labelled texts of one half, each with what the rules say of it."""
    rows = [json.loads(line) for line in LABELLED.read_text("utf-8").splitlines()]
    baselines = {row["user"]: row["text"] for row in rows if row["steered"] == "baseline"}
    found = []
    for row in rows:
        if row["part"] == part:
            before = None if row["steered"] == "baseline" else baselines[row["user"]]
            told = {flag.kind for flag in flags(row["text"], row["user"], row["system"], before)}
            found.append({**row, "told": told})
    return found


@pytest.fixture(scope="module")
def unseen() -> list[dict[str, Any]]:
    """The texts of the prompts that the rules were not written on."""
    return [*read("held out"), *read("fresh")]


def share(rows: list[dict[str, Any]], kind: str) -> tuple[int, int, int]:
    """Of a kind of flag: how many texts have it, how many are told to have it, and how many of those have it."""
    return (
        sum(kind in row["flags"] for row in rows),
        sum(kind in row["told"] for row in rows),
        sum(kind in row["flags"] and kind in row["told"] for row in rows),
    )


FLOORS = {  # texts that have the flag, at least; precision; recall. docs/flags.md has what was measured
    "refusal new": (9, 0.8, 0.7),
    "language changed": (12, 0.9, 0.9),
    "code instead of prose": (6, 0.8, 0.6),
    "instructions echoed": (1, 0.2, 1.0),
    "system prompt repeated": (8, 0.9, 0.85),
    "persona changed": (5, 0.6, 0.8),
    "answer changed": (4, 1.0, 1.0),
}


@pytest.mark.parametrize("kind", FLOORS)
def test_flags_agree_with_a_reader_on_prompts_that_the_rules_were_not_written_on(unseen, kind):
    least, precision, recall = FLOORS[kind]
    labelled, told, right = share(unseen, kind)
    assert labelled >= least
    assert right >= precision * told and right >= recall * labelled


def test_the_set_is_large_enough_and_no_prompt_is_in_two_parts():
    rows = [json.loads(line) for line in LABELLED.read_text("utf-8").splitlines()]
    by_model = [row for row in rows if not row["written_by_hand"]]
    assert len(by_model) >= 150 and len({row["user"] for row in by_model}) >= 15
    parts = {(row["user"], row["part"]) for row in rows}
    assert len(parts) == len({user for user, _ in parts})


def test_a_refusal_that_is_gone_is_seen_where_there_are_some():
    assert share(read("developed"), "refusal gone") == (6, 6, 6)  # no baseline of the other prompts declines
