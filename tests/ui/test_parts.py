"""Parts: one vector is taken apart on the page, its map answers clicks, and the result is shown again."""

import json
import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_vector_is_taken_apart_and_its_parts_are_shown_again(page: Page) -> None:
    steps.tab(page, "Parts")
    steps.choose_bank(page, "lend-money")
    steps.fill(page, "prompt", "Should I lend money to a friend?")
    steps.choose_only(page, 4, 5)
    for name, value in (("measure", "logits:Yes"), ("keep", 1), ("exact", 4), ("random", 4)):
        steps.fill(page, f"parts-{name}", value)
    page.locator("#parts-start").click()
    steps.refused(page, "Vectors: 2 are chosen")
    steps.choose_only(page, 4)
    page.locator("#parts-start").click()
    steps.refused(page, "is not two answers")
    steps.fill(page, "parts-measure", "logits:Yes,No")
    page.locator("#parts-start").click()
    said = page.locator("#parts-said")
    expect(said).to_contain_text(re.compile(r"keeps? \d+ %"), timeout=180_000)
    expect(said).to_contain_text("4 random vectors of the same R by")
    rows = page.locator("#parts-table tbody tr")
    expect(rows).to_have_count(4)
    expect(page.locator("#parts-map .heatmaplayer")).to_have_count(1)
    expect(page.locator("#parts-command")).to_contain_text("parts lend-money --vector 4 --prompt")
    with page.expect_download() as downloaded:
        page.locator("#parts-json").click()
    kept = json.loads(Path(downloaded.value.path()).read_text("utf-8"))
    assert kept["vector"] == 4 and len(kept["parts"]) == 220 and len(kept["random_effects"]) == 4
    place = page.locator("#parts-map .nsewdrag").first
    place.click(position={"x": 20, "y": 20})
    expect(page.locator("#parts-one")).to_contain_text(re.compile(r"Block \d+, (head \d|MLP): estimated"))
    steps.reload(page)
    steps.tab(page, "Parts")
    expect(rows).to_have_count(4)
    expect(said).to_contain_text("random vectors of the same R by")
