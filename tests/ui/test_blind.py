"""Blind comparison: nothing tells which text is the vector's before the results, keys answer, and a reload goes on."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def call(page: Page, name: str) -> None:
    """Give this browser's annotator a name."""
    part = page.locator("#blind-annotator")
    if part.locator("[data-action=change]").is_visible():
        part.locator("[data-action=change]").click()
    part.locator("input").fill(name)
    part.locator("[data-action=use]").click()
    expect(part).to_contain_text(f"You label as {name}")
    steps.settle(page)  # the pair is this person's


def test_pairs_are_compared_by_keys_and_counted(page: Page) -> None:
    steps.steer(page)  # at the bank's own R, on its own prompt
    steps.tab(page, "Blind comparison")
    call(page, "Ann")
    count = page.locator("#blind-pair [role=status]")
    expect(count).to_have_text(re.compile(r"^0 of [3-8] compared$"))
    of = count.inner_text().removeprefix("0 ")
    texts = page.locator("#blind-pair .mx-blind-text")
    expect(page.locator("#blind-pair .mx-completion-head")).to_have_text(["A", "B"])
    assert not re.search(r"mx-kind-|data-vector|title=", page.locator("#blind-pair").inner_html())
    assert all(one.get_attribute("dir") == "auto" for one in texts.all())
    before = texts.all_inner_texts()
    page.locator("#blind-how").click()
    page.keyboard.press("1")
    expect(count).to_have_text(f"1 {of}")
    expect(texts.first).not_to_have_text(before[0])
    page.locator("#blind-annotator [data-action=change]").click()
    page.locator("#blind-annotator input").press_sequentially("2")  # writes
    expect(page.locator("#blind-annotator input")).to_have_value("Ann2")
    page.keyboard.press("Enter")
    expect(count).to_have_text(f"0 {of}")  # somebody else
    steps.settle(page)
    call(page, "Ann")
    expect(count).to_have_text(f"1 {of}")
    page.locator("#blind-pair [data-choice=tie]").click()
    expect(count).to_have_text(f"2 {of}")
    steps.settle(page)
    steps.reload(page)
    steps.tab(page, "Blind comparison")
    expect(page.locator("#blind-annotator")).to_contain_text("You label as Ann")
    expect(count).to_have_text(f"2 {of}")
    page.locator("#blind-results").click()
    rows = page.locator("#blind-table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("%")
    steps.tab(page, "Labels")
    expect(page.locator("#label-of")).to_contain_text(steps.SAMPLE)
    expect(page.locator("#label-annotator")).to_contain_text("You label as Ann")
    page.locator("#label-annotator [data-action=change]").click()
    page.locator("#label-annotator [data-action=nameless]").click()  # the other tests have no names
    expect(page.locator("#label-annotator")).to_contain_text("without a name")
    steps.settle(page)
