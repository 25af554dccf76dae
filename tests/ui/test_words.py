"""Words: what a first-time user did not understand is explained where it stands, or gone."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

ALONE = """words => [...document.querySelectorAll('main *')]
  .filter((node) => node.checkVisibility() && !node.children.length && words.includes(node.textContent.trim()))
  .map((node) => node.outerHTML.slice(0, 160))"""


def test_terms_of_the_context_line_and_the_list_are_explained_where_they_stand(page: Page) -> None:
    """Nothing explained "J 201", "7 → 21", "joint", "× median", "6 count (assistant)", "its prompt" and "auto"."""
    origin = page.locator("#provenance p").first
    expect(origin).to_contain_text("joint · 7 → 21 · R 9 (0.077 × median)")
    for words in ("method that found", "are added → ", "effect is measured", "multiples of the median norm"):
        assert words in (origin.get_attribute("title") or ""), words
    assert "the tokens to which they are added" in (page.locator("#provenance p").nth(1).get_attribute("title") or "")
    radius = page.locator(".mx-radius-label")
    expect(radius).to_contain_text("R = 9 (0.077 × median)")
    assert "the length of the steering vector" in (radius.get_attribute("title") or "")
    assert "multiple of the median norm" in (radius.get_attribute("title") or "")
    card = steps.cards(page).first
    assert "J" not in card.inner_text().split()
    assert "strength J " in (about := card.get_attribute("title") or "") and "how far it moves the activations" in about
    steps.open_system(page)
    expect(page.locator("#tokens .mx-token-count")).to_have_text("37 tokens, 6 steered (scope assistant)")
    expect(page.locator("#scope")).to_contain_text("Scope: tokens that are steered")
    expect(page.locator("#auto")).to_have_text("steer on changes", use_inner_text=True)
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    expect(page.locator("#bank-effect th")).to_contain_text(["J per prompt", "mean ‖Δ‖", "agreement", "runaway"])
    for words in ("J: how much", "‖Δ‖: length", "Agreement: how alike", "Runaway: share of tokens"):
        expect(page.locator("#bank-terms")).to_contain_text(words)
    for name in ("Completions", "Labels"):
        steps.tab(page, name)
        assert page.evaluate(ALONE, ["auto", "its prompt", "J", "joint", "× median"]) == [], name


def test_vectors_are_listed_once_and_samples_come_with_labels(page: Page) -> None:
    """They stood in two lists, and the sample banks, the first thing anyone sees, were unlabelled."""
    page.locator("[data-room=start].mx-room").click()
    steps.settle(page)
    examples = page.locator("#start-view .mx-start-example")
    assert examples.count() >= 5
    for one in examples.all():
        expect(one.locator(".mx-start-found li")).not_to_have_count(0)
        assert all(text.strip() for text in one.locator(".mx-start-found li > span:first-child").all_inner_texts())
    examples.first.locator(".mx-start-prompt").click()
    steps.expect_view(page, "Completions")
    steps.open_list(page)
    names = steps.cards(page).locator(".mx-card-name:not(.mx-faint)")
    expect(names).not_to_have_count(0)
    expect(steps.cards(page).locator(".mx-stars").first).to_be_visible()
    page.evaluate("melbo.select({ lists: {} })")  # as in a new window
    many = steps.cards(page).count()
    assert page.locator("[data-vector]:visible:not(.mx-sheet-row)").count() == many, "another list has them, too"
    steps.tab(page, "Labels")
    expect(page.locator("#label-table tr[data-key]")).to_have_count(many)
    expect(page.locator("#vector-panel")).to_be_hidden()
