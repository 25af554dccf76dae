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
def held_out() -> list[dict[str, Any]]:
    return read("held out")


def share(rows: list[dict[str, Any]], kind: str) -> tuple[int, int, int]:
    """Of a kind of flag: how many texts have it, how many are told to have it, and how many of those have it."""
    return (
        sum(kind in row["flags"] for row in rows),
        sum(kind in row["told"] for row in rows),
        sum(kind in row["flags"] and kind in row["told"] for row in rows),
    )


def test_the_set_is_large_enough_and_no_prompt_is_in_two_parts():
    rows = [json.loads(line) for line in LABELLED.read_text("utf-8").splitlines()]
    by_model = [row for row in rows if not row["written_by_hand"]]
    assert len(by_model) >= 150 and len({row["user"] for row in by_model}) >= 15
    parts = {(row["user"], row["part"]) for row in rows}
    assert len(parts) == len({user for user, _ in parts})
