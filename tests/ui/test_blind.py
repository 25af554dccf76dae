"""Blind comparison: nothing tells which text is the vector's before the results, keys answer, and a reload goes on."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_pairs_are_compared_by_keys_and_counted(page: Page) -> None:
    steps.steer(page)  # at the bank's own R, on its own prompt
    steps.tab(page, "Blind comparison")
    steps.fill(page, "blind-who", "Ann")
    steps.field(page, "blind-who").blur()
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
    steps.fill(page, "blind-who", "Ann")
    steps.field(page, "blind-who").press("2")  # writes
    expect(steps.field(page, "blind-who")).to_have_value("Ann2")
    expect(count).to_have_text(f"0 {of}")  # somebody else
    steps.fill(page, "blind-who", "Ann")
    expect(count).to_have_text(f"1 {of}")
    page.locator("#blind-pair [data-choice=tie]").click()
    expect(count).to_have_text(f"2 {of}")
    steps.settle(page)
    steps.reload(page)
    steps.tab(page, "Blind comparison")
    expect(steps.field(page, "blind-who")).to_have_value("Ann")
    expect(count).to_have_text(f"2 {of}")
    page.locator("#blind-results").click()
    rows = page.locator("#blind-table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("%")
    steps.tab(page, "Labels")
    expect(page.locator("#label-of")).to_contain_text(steps.SAMPLE)
