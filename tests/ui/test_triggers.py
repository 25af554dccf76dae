"""Triggers: a search toward a text and toward a vector, the answers under a string, and the result shown again."""

import json
import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}<b>"
ROWS = "#triggers-table tbody tr"


def test_triggers_are_searched_read_and_shown_again(page: Page) -> None:
    steps.choose_only(page, 1)
    steps.tab(page, "Triggers")
    expect(page.locator("#triggers-experimental")).to_contain_text("Experimental")
    page.locator("#triggers-start").click()
    steps.refused(page, "Toward: the text is empty")
    steps.fill(page, "triggers-says", HOSTILE)
    steps.fill(page, "triggers-measure", "regex:.")
    steps.fill(page, "triggers-tokens", 2)
    steps.fill(page, "triggers-restarts", 1)
    page.locator("#triggers-settings button").first.click()
    for name, value in {"steps": 1, "candidates": 2, "random": 4, "held-out": 4, "longest": 2}.items():
        steps.fill(page, f"triggers-{name}", value)
    steps.forget(page, "triggers")
    page.locator("#triggers-start").click()
    expect(steps.progress(page, "triggers")).to_contain_text(
        re.compile(r"\d of 1 triggers work, \d+ s$"), timeout=600_000
    )
    expect(page.locator(ROWS)).to_have_count(5)
    expect(page.locator("#triggers-said")).to_contain_text(f"Toward “{HOSTILE}”.")
    page.locator(ROWS).first.click()
    expect(page.locator("#triggers-answers")).to_contain_text("held-out answers show the behaviour")
    assert page.evaluate("window.hurt === undefined") and page.locator("img[src=x]").count() == 0
    expect(page.locator("#triggers-command")).to_contain_text("--prompts everyday")
    with page.expect_download() as download:
        page.locator("#triggers-json").click()
    told = json.loads(download.value.path().read_text("utf-8"))
    assert len(told["triggers"]) == 1 and len(told["random"]) == 4
    shown = page.locator(ROWS).all_inner_texts()
    steps.reload(page)
    steps.tab(page, "Triggers")
    expect(page.locator(ROWS)).to_have_count(5)
    assert page.locator(ROWS).all_inner_texts() == shown
