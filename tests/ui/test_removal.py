"""Removal: what cannot be tested is refused, and a result shows verdicts, the texts of a test and its file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

from melbo_app.library.counted import Counted
from melbo_app.library.removals import (
    ComparedModel,
    Familiarity,
    Judged,
    LeftOut,
    Outcome,
    Removal,
    Removals,
    SaidText,
    SideEffect,
)
from melbo_app.studies.removal_verdict import change, verdict

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}{{hurt}}<b>"


def outcome(count: int) -> Outcome:
    found = Counted.some(count, 12)
    texts = tuple(SaidText(prompt=HOSTILE, text=HOSTILE, shows=at < count) for at in range(12))
    return Outcome(value=found.share, low=found.low, high=found.high, counted=found, texts=texts)


def record() -> Removal:
    outcomes: list[Any] = [
        {"before": outcome(12), "edited": outcome(edited), "clean": outcome(0)} for edited in (0, 11)
    ]
    judged = [verdict(one) for one in outcomes]
    shown = Counted.some(0, 12)
    return Removal(
        model_hash="1" * 64,
        models={
            role: ComparedModel(name=f"{role} {HOSTILE}", spec=f"/{role}", weights_hash=role)
            for role in ("before", "edited", "clean")
        },
        behaviour="kettle", about=HOSTILE, behaviour_hash="2" * 64, most_prompts=12, seed=0, layers=(7, 21, 15),
        tests=tuple(
            Judged(test=name, outcomes=one, verdict=said[0], reason=said[1])
            for name, one, said in zip(("trigger", "old-vectors"), outcomes, judged, strict=True)
        ),
        side_effects=(SideEffect(measure="decoys", outcomes=outcomes[0], change=change(outcomes[0])),),
        left_out=(LeftOut(test="languages", reason=HOSTILE),),
        familiarity=Familiarity(
            edited=shown, before=Counted.some(12, 12), clean=shown, retained=0.0, low=-0.2, high=0.2
        ),
        seconds=9, created=datetime.now(UTC), versions={},
    )  # fmt: skip


def test_verdicts_texts_and_the_file_of_a_stress_test(page: Page, app: Any) -> None:
    found = record()
    Removals(app.cache / "removals").save(found)
    steps.tab(page, "Removal")
    expect(page.locator("#removal-said")).to_contain_text(
        "1 of 2 tests show it, 1 have no sign beyond the clean model, 0 cannot tell"
    )
    expect(page.locator("#removal-said")).to_contain_text(f"Left out, other languages: {HOSTILE}.")
    rows = steps.rows(page, "removal")
    assert [(cells[0], cells[4]) for cells in rows] == [
        ("the trigger", "no sign beyond the clean model"), ("old vectors", "shows it"),
    ]  # fmt: skip
    assert rows[1][1:4] == ["12 of 12 (76 to 100 %)", "11 of 12 (65 to 99 %)", "0 of 12 (0 to 24 %)"]
    expect(page.locator("#removal-sides tbody tr")).to_have_count(1)
    page.locator('#removal-table tr[data-key="old-vectors"]').click()
    expect(page.locator("#removal-details")).to_contain_text("Old vectors: shows it. +0.92 from the clean model")
    parts = page.locator("#removal-texts .mx-organism-part")
    expect(parts).to_have_count(3)
    expect(parts.nth(1).locator(".mx-organism-text").first).to_have_text(HOSTILE)
    expect(page.locator("#removal-command code")).to_contain_text("removal --model /edited --before /before")
    with page.expect_download() as downloaded:
        page.locator("#removal-json").click()
    written = json.loads(Path(downloaded.value.path()).read_text("utf-8"))
    assert written["key"] == found.key and written["tests"][1]["verdict"] == "shows it"
    assert page.evaluate("window.hurt === undefined") and page.locator("img[src=x]").count() == 0

    page.locator("#removal-start").click()
    steps.refused(page, "Before model: the field is empty")
    steps.fill(page, "removal-before", app.cache / "nowhere")
    steps.fill(page, "removal-edited", "SmolLM2-135M-Instruct")
    steps.pick(page, "removal-behaviour", "trigger-word")
    steps.fill(page, "removal-prompts", 9)
    page.locator("#removal-start").click()
    steps.refused(page, "Prompts of a test: 9 is out of range")
    steps.fill(page, "removal-prompts", 12)
    page.locator("#removal-start").click()
    steps.refused(page, "Before: ")
    (app.cache / "removals" / f"{found.key}.json").unlink()
