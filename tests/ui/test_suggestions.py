"""Suggested labels in the room Label: off for a small model, shown where they hold, taken over by a press alone."""

import pytest
import steps
from judge_stub import running
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
HOSTILE = "about cats <img src=x onerror=hurt=1>${window.hurt=2}"
UNSEEN = 12


class Answers:
    """Writes a label, then one for random vectors, and finds that the first fits the vector's texts alone."""

    def __init__(self) -> None:
        self.written, self.read = 0, 0

    def __call__(self, question: str) -> str:
        if "<answer>" not in question:
            self.written += 1
            return HOSTILE if self.written % 2 else "about nothing"
        name, text = divmod(self.read, 2 * UNSEEN)
        self.read += 1
        return "10" if name == 0 and text < UNSEEN else "0"


def test_a_suggestion_is_shown_with_its_figures_and_saved_by_nobody_but_the_reader(page: Page) -> None:
    steps.train(page, "suggested", vectors=1, steps=1)
    steps.wait_for_training(page, "suggested")
    steps.choose_bank(page, "suggested")
    steps.tab(page, "Labels")
    steps.unfold(page, "label-suggestions")
    message, line = page.locator("#suggest-message"), page.locator("#label-suggestion .mx-names")
    page.locator("#suggest-start").click()
    expect(message).to_contain_text("fewer than a billion parameters are off")
    expect(line).to_be_hidden()
    page.locator("#suggest-who").get_by_label("endpoint", exact=True).check()
    steps.settle(page)
    steps.pick(page, "suggest-reader", "the model that wrote them")
    with running() as stub:
        steps.fill(page, "suggest-endpoint", stub.url)
        steps.fill(page, "suggest-endpoint-model", "big")
        stub.reply = lambda question: "perhaps" if "<answer>" in question else "about cats"
        page.locator("#suggest-start").click()
        steps.refused(page, "Judge: “perhaps” is not a number from 0 to 10", seconds=240)
        stub.reply = Answers()
        page.locator("#suggest-start").click()
        expect(message).to_contain_text("1 of 1 suggestions hold", timeout=600_000)
    expect(line).to_contain_text(f"big suggests{HOSTILE}AUROC 1.00 (")
    expect(line).to_contain_text("on 12 unseen texts; other labels up to 0.00")
    assert page.evaluate("window.hurt === undefined")
    expect(steps.field(page, "label-name")).to_have_value("")
    expect(page.locator("#label-table")).not_to_contain_text("about cats")
    line.locator(".mx-name").click()
    expect(steps.field(page, "label-name")).to_have_value(HOSTILE)
    steps.reload(page)
    steps.tab(page, "Labels")
    expect(line).to_contain_text("big suggests")
