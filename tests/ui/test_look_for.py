"""Look for: what texts should show is found beside random vectors, opens in Read and is used for steering."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_search_finds_vectors_that_can_be_read_and_used(page: Page) -> None:
    steps.tab(page, "Completions")
    steps.fill(page, "prompt", "Who are you?")
    steps.tab(page, "Look for")
    steps.fill(page, "train-vectors", 3)
    steps.pick(page, "look-kind", "words, as a regular expression")
    steps.fill(page, "look-text", "(a")
    page.locator("#look-start").click()
    steps.refused(page, "the regular expression cannot be read")
    steps.fill(page, "look-text", r"(?i)\b(I|me|my)\b")
    steps.fill(page, "look-held-out", "What is your name?\nWhere do you live?")
    steps.fill(page, "look-tokens", 12)
    steps.fill(page, "look-samples", 1)
    page.locator("#look-start").click()
    expect(steps.progress(page, "look")).to_contain_text("read to the end", timeout=600_000)
    said = page.locator("#look-said")
    expect(said).to_contain_text(r"regex:(?i)\b(I|me|my)\b")
    expect(said).to_contain_text("On prompts that were kept out:")
    rows = page.locator("#look-table tbody tr")
    cells = steps.rows(page, "look")
    assert cells[0][0] == "without steering" and cells[1][0].startswith("vector ")
    assert any(row[0].startswith("random vector ") for row in cells)
    scores = [float(row[2]) for row in cells if row[0].startswith("vector ")]
    assert scores == sorted(scores, reverse=True) and cells[1][3] != ""

    rows.nth(1).click()
    texts = page.locator("#look-texts")
    expect(texts).to_contain_text("“Who are you?”: ")
    expect(texts).to_contain_text("Kept out, “Where do you live?”: ")
    page.locator("#look-use").click()
    steps.settle(page)
    number = cells[1][0].split()[-1]
    expect(page.locator(f'#vector-cards .mx-card[data-vector="{number}"]')).to_have_attribute("aria-pressed", "true")
    label = page.locator(".mx-radius-label").inner_text()
    assert float(f"{float(label.split()[2]):.3g}") == float(cells[1][1]), label
    page.locator("#look-open").click()
    steps.expect_view(page, "Completions")
    expect(steps.completions(page, "vector").first).to_be_visible()

    steps.tab(page, "Look for")  # what was found is there again, and a line without a vector cannot be used
    page.locator('#look-table tr[data-key="r0"]').click()
    steps.settle(page)
    page.locator("#look-use").click()
    steps.refused(page, "this line has none of the bank")
    steps.tab(page, "Jobs")
    expect(page.locator("#job-table tbody tr").first).to_contain_text("Looking for regex")
