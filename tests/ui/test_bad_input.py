"""Bad input: a message names the field and what would be right, and the page goes on."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_steering_refuses(page: Page) -> None:
    """One field after the other; after each message the same page steers again."""
    for field, value, words in [
        ("prompt", "", ["Prompt", "empty"]),
        ("prompt", "one\n---\n", ["Prompt", "---"]),
        ("max-new-tokens", 100_000, ["Max new tokens", "100,000"]),
        ("max-new-tokens", 0, ["Max new tokens", "0 is out of range"]),
        ("radius", "1e30", ["R: 1e+30", "Choose"]),
    ]:
        place = page.locator("#radius-exact") if field == "radius" else steps.field(page, field)
        good = place.input_value()
        place.fill(str(value))
        place.blur()
        page.locator("#steer-button").click()
        steps.refused(page, *words)
        place.fill(good)
        place.blur()
        assert len(steps.steer(page)) == 9


def test_training_refuses(page: Page) -> None:
    """One field after the other, on one form that is right but for this field."""
    steps.open_train(page)
    steps.fill(page, "train-name", "refused")
    steps.fill(page, "train-vectors", 1)
    steps.fill(page, "train-steps", 1)
    cases = [
        ("train-target", 7, ["Target layer", "7 is not above the source layer 7", "8 or more"]),
        ("train-target", 99, ["arget layer", "no block 99", "0 to 29"]),
        ("train-radius", 0, ["R: must be", "greater than 0"]),
        ("train-name", "Bomb-Question", ["Name", "already"]),
        ("train-vectors", 0, ["Vectors", "0 is out of range", "1 to 4,096"]),
        ("train-scope", "sometimes", ["cope", "sometimes", "assistant"]),
        ("train-steps", 0, ["Steps", "0 is out of range"]),
        ("prompt", " ", ["Prompt", "empty"]),
    ]
    for field, value, words in cases:
        good = steps.field(page, field).input_value()
        steps.fill(page, field, value)
        steps.field(page, field).blur()
        steps.settle(page)
        page.locator("#train-start").click()
        steps.refused(page, *words)
        steps.fill(page, field, good)
        steps.field(page, field).blur()
        steps.settle(page)
    steps.fill(page, "train-source", 99)
    steps.refused(page, "Source layer", "no block 99", "0 to")  # at once: its norm cannot be shown
    steps.fill(page, "train-source", 7)
    steps.forget(page, "train")
    page.locator("#train-start").click()
    assert steps.wait_for_training(page, "refused") == 1


def test_map_refuses_radii_that_are_none(page: Page) -> None:
    steps.tab(page, "Map")
    for text, words in [("eight", ["R", "“eight”", "8, 11, 14"]), ("", ["R", "empty"])]:
        steps.fill(page, "map-radii", text)
        page.locator("#map-draw").click()
        steps.refused(page, *words)
    steps.choose_only(page, 0)
    steps.draw_map(page, "9")


def test_unknown_model_is_refused_and_the_old_one_stays(page: Page) -> None:
    steps.tab(page, "Models")
    before = page.locator("#model-chip").inner_text()
    expect(page.locator("#model-details")).to_contain_text("30 blocks")
    for spec, words in [
        ("/there/is/no/such/folder", ["Model", "/there/is/no/such/folder", "does not exist"]),
        ("/there/is/no/such.gguf", ["Model", "there is no file"]),
        (" ", ["Model", "it is empty"]),
    ]:
        steps.fill(page, "model-spec", spec)
        page.locator("#model-load").click()
        steps.refused(page, *words)
    expect(page.locator("#model-chip")).to_have_text(before)
    expect(page.locator("#model-chip")).to_have_attribute("data-state", "ready")
    expect(page.locator("#model-table")).to_contain_text("loaded")
    steps.tab(page, "Completions")
    assert len(steps.steer(page)) == 9
