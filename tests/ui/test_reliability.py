"""Reliability: own prompts are measured, a vector is opened, and the result is shown again and downloaded."""

import json
import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}"
ROWS = "#reliability-table tr[data-key]"


def lines(count: int) -> str:
    """Short prompts with answers; one of them tries to harm the page."""
    made = [
        {"prompt": HOSTILE if not at else f"{at}?", "first": "Yes", "second": "No", "group": "ab"[at % 2]}
        for at in range(count)
    ]
    return "\n".join(map(json.dumps, made))


def test_own_prompts_are_measured_opened_and_shown_again(page: Page) -> None:
    steps.choose_only(page, 3)  # one, as each takes two seconds
    steps.tab(page, "Reliability")
    steps.fill(page, "reliability-random", 4)
    page.locator("#reliability-own-panel button").first.click()
    page.locator("#reliability-set input").click()
    page.get_by_role("option", name="my own").click()
    steps.fill(page, "reliability-own", lines(9))
    page.locator("#reliability-start").click()
    expect(page.locator(".toast-body").first).to_contain_text("“own” has 9, too few for a share of inputs")
    steps.fill(page, "reliability-own", lines(10))
    page.locator("#reliability-start").click()
    expect(steps.progress(page, "reliability")).to_have_text("1 vector of “bomb-question” and 4 random ones.")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#reliability-said")).to_contain_text("of 1 vectors move 10 inputs in one direction")
    page.locator(ROWS).first.click()
    expect(page.locator("#reliability-details")).to_contain_text("Vector 3 at R")
    expect(page.locator("#reliability-plot .main-svg").first).to_be_visible()
    expect(page.locator("#reliability-inputs tbody tr")).to_have_count(10)
    expect(page.locator("#reliability-command")).to_contain_text("reliability bomb-question --prompts own.jsonl")
    assert page.evaluate("window.hurt === undefined") and page.locator("img[src=x]").count() == 0
    with page.expect_download() as download:
        page.locator("#reliability-json").click()
    told = json.loads(download.value.path().read_text("utf-8"))
    assert [one["vector"] for one in told["vectors"]] == [3] and told["finished"]
    steps.reload(page)
    steps.tab(page, "Reliability")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#reliability-said")).to_contain_text(re.compile(r"Random vectors: mean slope"))
