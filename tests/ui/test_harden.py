"""Harden: a model is trained as a job, and what it does before and after is shown, opened and downloaded."""

import json
import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}{{hurt}}<b>"
KEEP = [*(f"Name a colour that begins with {letter}." for letter in "abcdefghi"), f"Say hello. {HOSTILE}"]
WAIT = 600_000


def test_a_model_is_hardened_and_compared_with_the_one_before(page: Page) -> None:
    steps.tab(page, "Harden")
    steps.pick(page, "harden-keep", "my own")
    page.locator("#harden-start").click()
    steps.refused(page, "Keep: 0 different prompts are too few to stay as it is")
    steps.fill(page, "harden-own", "\n".join(KEEP))
    expect(steps.field(page, "harden-avoid")).not_to_be_visible()
    steps.pick(page, "harden-method", "targeted-lat: targeted latent adversarial training")
    expect(steps.field(page, "harden-avoid")).to_be_visible()
    page.locator("#harden-start").click()
    steps.refused(page, "Avoid: there is nothing to avoid")
    steps.unfold(page, "harden-settings")
    small = {"steps": 1, "batch": 1, "ascent": 1, "tokens": 4, "rank": 1, "avoid": "Red is not a colour."}
    for name, value in small.items():
        steps.fill(page, f"harden-{name}", value)
    page.locator("#harden-start").click()
    expect(page.locator("#harden-said")).to_contain_text("1 answers avoided, seed 0", timeout=WAIT)
    expect(steps.progress(page, "harden")).to_have_text(re.compile(r"^Trained in \d+ s, loss [\d.]+ → [\d.]+$"))
    expect(page.locator("#harden-parts tbody tr")).to_have_count(3)
    texts = page.locator("#harden-texts tr[data-key]")
    expect(texts).to_have_count(22)
    page.locator("#harden-texts tr[data-key='1']").press("Enter")
    expect(page.locator("#harden-text")).to_contain_text(f"Kept: {KEEP[-1]}")
    expect(page.locator("#harden-text")).to_contain_text("After: ")
    expect(page.locator("#harden-command")).to_contain_text("--method targeted-lat --keep keep.jsonl")
    with page.expect_download() as downloaded:
        page.locator("#harden-json").click()
    found = json.loads(Path(downloaded.value.path()).read_text("utf-8"))
    assert found["settings"]["method"] == "targeted-lat" and found["keep"] == KEEP and len(found["losses"]) == 1
    assert page.evaluate("window.hurt") is None
    expect(page.locator("#harden-load")).to_be_enabled()
    steps.reload(page)
    expect(page.locator("#harden-said")).to_contain_text("1 answers avoided, seed 0", timeout=WAIT)
    expect(steps.field(page, "harden-own")).to_have_value("\n".join(KEEP))
