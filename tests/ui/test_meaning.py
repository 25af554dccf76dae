"""Search by meaning, in Library and in Read: the text that says it is found without its words, and opens in place."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_text_is_found_by_its_meaning_and_opens_with_the_passage_marked(page: Page) -> None:
    asked = "the largest planet that goes round the sun"
    prompts = ("What is the capital of France?", "Name a planet.", "How do I bake bread?")
    for prompt in prompts:
        steps.tab(page, "Completions")
        steps.fill(page, "prompt", prompt)
        steps.steer(page)
    steps.tab(page, "Library")
    steps.pick(page, "library-kind", "completions, by their meaning")
    steps.fill(page, "library-text", asked)
    page.locator("#library-find").click()
    expect(steps.progress(page, "library")).to_contain_text("texts compared.")
    found = steps.rows(page, "library")
    cosines = [float(row[0]) for row in found]
    assert cosines == sorted(cosines, reverse=True) and cosines[0] > 0.25
    assert "planet" in found[0][2].lower() and asked not in found[0][2]
    page.locator("#library-table tr[data-key]").first.click()
    expect(page.locator("#library-details")).to_contain_text("Name a planet.")
    page.locator("#library-open").click()
    steps.expect_view(page, "Completions")
    expect(steps.field(page, "prompt")).to_have_value("Name a planet.")
    marked = page.locator("#completions .mx-inspector .mx-sought")
    expect(marked).to_have_count(1)
    assert marked.inner_text() in page.locator("#completions .mx-inspector-text").first.inner_text()

    page.locator("#find-text-panel button").first.click()  # the same in Read, and by words
    steps.fill(page, "find-text", "dough and an oven")
    page.locator("#find-button").click()
    expect(steps.progress(page, "find")).to_contain_text("texts compared.")
    page.locator("#find-table tr[data-key]").first.click()
    expect(steps.field(page, "prompt")).to_have_value("How do I bake bread?")
    steps.pick(page, "find-how", "with the words")
    steps.fill(page, "find-text", "PARIS")
    page.locator("#find-button").click()
    expect(page.locator("#find-table thead")).not_to_contain_text("cosine")
    steps.settle(page)
    page.locator("#find-table tr[data-key]").first.click()
    expect(steps.field(page, "prompt")).to_have_value("What is the capital of France?")
    expect(marked.first).to_have_text("Paris")
    steps.fill(page, "find-text", " ")
    page.locator("#find-button").click()
    steps.refused(page, "it is empty")
