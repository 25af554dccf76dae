"""Ways to find vectors: each shows the fields that it takes, and trains with them; formulas make banks of others."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_method_shows_its_source_and_the_fields_that_it_takes(page: Page) -> None:
    steps.open_train(page)
    page.locator("#train-more").get_by_role("button").first.click()
    about, against = page.locator("#train-method-about"), page.locator("#train-against")
    for method, source, contrast, begin, weight, climbs, draws, most in [
        ("soft-delta", "Mack & Turner", False, True, True, True, True, "60"),
        ("transcoding", "Mack 2024", False, True, False, False, True, "20"),
        ("jacobian", "Ayyub 2026", False, False, False, False, True, "60"),
        ("contrast-pca", "Zou et al.", True, False, False, False, False, "1"),
        ("joint", "Mack & Turner 2024", False, True, False, True, True, "60"),
    ]:
        steps.choose_method(page, method)
        expect(about).to_contain_text(source)
        expect(against).to_be_visible(visible=contrast)
        expect(page.locator("#train-begin")).to_be_visible(visible=begin)
        expect(page.locator("#train-orthogonality")).to_be_visible(visible=weight)
        expect(page.locator("#train-agreement")).to_be_visible(visible=climbs)
        expect(page.locator("#train-saturation")).to_be_visible(visible=climbs)
        expect(page.locator("#train-seed")).to_be_visible(visible=draws)
        expect(steps.field(page, "train-steps")).to_have_value(most)
        label = "Steps" if method in ("contrast-pca", "transcoding") else "Max steps"
        expect(page.locator("#train-steps").get_by_text(label, exact=True)).to_be_visible()


def test_a_supervised_vector_is_made_from_two_sides_and_steers(page: Page) -> None:
    steps.open_train(page)
    steps.fill(page, "train-name", "cats")
    steps.choose_method(page, "difference-of-means")
    expect(steps.field(page, "train-vectors")).to_have_value("1")
    page.locator("#train-start").click()
    steps.refused(page, "Against", "needs prompts of the other side")
    steps.fill(page, "train-against", "Tell me about cats.\n---\nDo you like cats?")
    page.locator("#train-start").click()
    assert steps.wait_for_training(page, "cats") == 1
    expect(page.locator("#provenance")).to_contain_text("difference-of-means")
    steps.tab(page, "Completions")
    assert len(steps.steer(page)) == 2


def test_jacobian_vectors_are_trained_with_both_signs(page: Page) -> None:
    steps.train(page, "power", vectors=4, steps=3, method="jacobian")
    assert steps.wait_for_training(page, "power") == 4
    steps.tab(page, "Similarity")
    page.locator("#similarity-run").click()
    expect(page.locator("#similarity-theta-mean")).to_contain_text("-0.333")  # two pairs of opposites among six


def test_a_formula_makes_a_bank_that_steers(page: Page) -> None:
    steps.choose_only(page, 0, 2)
    steps.tab(page, "Banks")
    page.locator("#bank-combine-panel").get_by_role("button").first.click()
    page.locator("#bank-insert").click()
    expect(steps.field(page, "bank-formula")).to_have_value(f"'{steps.SAMPLE}'[0, 2]")
    steps.fill(page, "bank-formula", f"'{steps.SAMPLE}'[0, 2] - 0.5 * '{steps.SAMPLE}'[99]")
    steps.fill(page, "bank-combine-name", "mixed")
    page.locator("#bank-combine").click()
    steps.refused(page, "Formula", "there is no vector 99")
    steps.fill(page, "bank-formula", f"'{steps.SAMPLE}'[0, 2] - 0.5 * '{steps.SAMPLE}'[1]")
    page.locator("#bank-combine").click()
    expect(steps.field(page, "bank")).to_have_value("mixed")
    expect(page.locator("#bank-details")).to_contain_text(f"'{steps.SAMPLE}'[0, 2] - 0.5 * '{steps.SAMPLE}'[1]")
    expect(steps.cards(page)).to_have_count(2)
    steps.tab(page, "Completions")
    assert len(steps.steer(page)) == 3
