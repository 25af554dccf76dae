"""The texts behind a point of a curve: whose vectors they are is never left open."""

import pytest
import steps
from playwright.sync_api import Page, expect
from test_radius_tab import click_point, measure

pytestmark = pytest.mark.browser


def test_vectors_of_a_curve_have_no_label_of_the_chosen_bank_and_the_strip_says_whose_they_are(page: Page) -> None:
    """They stood beside the chosen bank as its vectors 0 to 3, with its labels, and to label them was an error."""
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="0"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 0")
    steps.settle(page)
    steps.fill(page, "label-name", "of the bank")
    page.locator("#label-save").click()
    expect(page.locator('#label-table tr[data-key="0"]')).to_contain_text("of the bank")
    measure(page, "one bank, trained and rescaled", 2)
    expect(steps.progress(page, "curve")).to_contain_text("one bank rescaled")
    click_point(page)
    page.locator("#curve-open").click()
    first = steps.completions(page, "vector").first
    expect(first.locator(".mx-completion-title")).to_contain_text("Vector 0 of the curve at R ")
    expect(first.locator(".mx-completion-name")).to_have_text("")
    expect(first.locator("[data-action=label]")).to_have_count(0)
    expect(first.locator("[data-action=save]")).to_have_text("save as bank")
    expect(first.locator(".mx-completion-origin")).to_have_text("vectors that a curve trained")
    expect(steps.cards(page).first).to_contain_text("of the bank")  # the list is still that of the chosen bank
    expect(page.locator("#completions .mx-stamp-words")).to_contain_text("Made with vectors that a curve trained, R ")
