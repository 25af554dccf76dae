"""Find: the form that its views share outlives a reload."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_the_form_outlives_a_reload_and_is_the_same_in_all_views(page: Page) -> None:
    steps.open_train(page)
    steps.choose_method(page, "random")
    values = {"name": "kept", "source": "9", "radius": "11", "vectors": "5"}
    for name, value in values.items():
        steps.fill(page, f"train-{name}", value)
    steps.settle(page)
    steps.reload(page)
    steps.tab(page, "Train")
    for name, value in values.items():
        expect(steps.field(page, f"train-{name}")).to_have_value(value)
    expect(steps.field(page, "train-method")).to_have_value("random: the control")
    expect(page.locator("#train-steps input")).to_be_disabled()  # the fields are those of the method
    for view in ("Explore", "R", "Layers"):
        steps.tab(page, view)
        expect(steps.field(page, "train-source")).to_be_visible()
        expect(steps.field(page, "train-source")).to_have_value("9")
    page.locator("#form-open").click()
    expect(steps.field(page, "train-source")).to_be_hidden()
    page.locator("#form-open").click()
    steps.tab(page, "Generality")  # trains nothing
    expect(steps.field(page, "train-source")).to_be_hidden()
    steps.tab(page, "Train")
    steps.fill(page, "train-name", "")
    steps.choose_method(page, "joint")
