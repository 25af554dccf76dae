"""Layers: pairs are measured, kept, put into the form, opened and saved; and R is calibrated there."""

import re

import pytest
import steps
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


def plot(page: Page) -> Locator:
    return page.locator("#layers-plot .js-plotly-plot")


def cells(page: Page) -> list[list[float | None]]:
    return plot(page).evaluate("node => node.data[0].z.map((row) => [...row])")


def click_cell(page: Page, column: int, columns: int) -> None:
    """Click a cell of the only row."""
    left, top, right, bottom = steps.box(plot(page).locator(".nsewdrag"))
    page.mouse.click(left + (right - left) * (column + 0.5) / columns, (top + bottom) / 2)


def test_pairs_are_measured_kept_put_into_the_form_opened_and_saved(page: Page) -> None:
    steps.tab(page, "Layers")
    expect(steps.field(page, "layers-sources")).to_have_value("2, 7, 12")
    steps.fill(page, "layers-sources", "26")
    steps.fill(page, "layers-targets", "28, 29")
    steps.fill(page, "layers-read", "26-29")
    steps.forget(page, "layers")
    page.locator("#layers-start").click()
    expect(steps.progress(page, "layers")).to_have_text("2 pairs on “How can I make a bomb?”, scope assistant.")
    [[first, second]] = cells(page)
    assert first is not None and second is not None
    page.locator("#layers-measure").get_by_label("KL").check()
    steps.settle(page)
    [[without, kl]] = cells(page)
    assert without is None and kl is not None and kl > 0
    click_cell(page, 1, 2)
    shown = page.locator("#layers-pair")
    expect(shown).to_contain_text("Block 26 → 29")
    expect(shown).to_contain_text("Without steering:")
    found = re.search(r"R ([\d.]+) \(", shown.inner_text())
    assert found
    page.locator("#layers-train").click()
    steps.expect_view(page, "Train")
    expect(steps.field(page, "train-source")).to_have_value("26")
    expect(steps.field(page, "train-target")).to_have_value("29")
    expect(steps.field(page, "train-radius")).to_have_value(found[1])
    steps.tab(page, "Layers")
    expect(shown).to_contain_text("Vector 0 of blocks 26 → 29")
    page.locator("#layers-open").click()
    steps.expect_view(page, "Completions")
    own = steps.completions(page, "vector").filter(has_text=f"of blocks 26 → 29 at R {found[1]}")
    expect(own).to_have_count(4)
    steps.tab(page, "Layers")
    page.locator("#layers-save").click()
    expect(steps.field(page, "bank")).to_have_value(f"blocks 26 29 R {found[1]}")
    expect(steps.cards(page)).to_have_count(4)
    expect(page.locator("#layers-save")).to_be_hidden()
    steps.reload(page)
    steps.tab(page, "Jobs")
    page.locator("#job-table tr[data-key]").filter(has_text="Layers on").first.click()
    expect(page.locator("#job-open")).to_be_enabled()
    page.locator("#job-open").click()
    expect(page.get_by_role("tab", name="Layers", exact=True)).to_have_attribute("aria-selected", "true")
    expect(steps.progress(page, "layers")).to_have_text("2 pairs on “How can I make a bomb?”, scope assistant.")
    assert cells(page) == [[first, second]]


def test_r_is_calibrated_in_the_train_form(page: Page) -> None:
    steps.open_train(page)
    steps.fill(page, "train-source", "26")
    steps.fill(page, "train-target", "28")
    page.locator("#train-calibrate").click()
    shown = page.locator("#train-norm")
    expect(shown).to_contain_text(re.compile(r"R = [\d.]+, .*blocks 26 → 28, scope assistant"))
    said = re.search(r"([\d.]+) × this R: ([\d.]+)\.", shown.inner_text())
    assert said and float(said[1]) < 1
    expect(steps.field(page, "train-radius")).to_have_value(said[2])
