"""Training: progress, Stop, and what happens when the page is closed or somebody else trains."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

LONG = 2000  # steps: far more than any test waits for


def stop_training(page: Page) -> None:
    """Press Stop and wait for the end, whatever was kept."""
    steps.tab(page, "Train")
    page.locator("#train-stop").click()
    expect(page.locator("#job-chip")).to_be_hidden()


def test_trained_bank_is_chosen_and_steers(page: Page) -> None:
    steps.fill(page, "prompt", "What is the best season?")
    steps.train(page, "season", vectors=4, steps=6)
    assert steps.wait_for_training(page, "season") == 4
    told = steps.messages(page).filter(has_text="“season” is trained")
    expect(told).to_be_visible()
    assert steps.apart(told, steps.progress(page, "train"))
    expect(steps.field(page, "train-name")).to_have_value("")  # it is taken by now
    expect(page.locator("#train-curves .js-plotly-plot .scatterlayer .trace")).to_have_count(4)
    expect(page.locator("#train-curves .mx-plot")).to_have_attribute("data-points", "24")
    expect(page.locator("#train-effect tbody tr")).to_have_count(5)  # all, and each of them
    expect(steps.field(page, "bank")).to_have_value("season")
    expect(steps.chosen_cards(page)).to_have_count(4)
    expect(page.locator("#provenance")).to_contain_text("What is the best season?")
    steps.tab(page, "Completions")
    texts = steps.steer(page)
    assert len(texts) == 5
    assert len(set(texts)) > 1


def test_an_empty_name_means_the_one_offered_and_a_name_can_be_typed_at_once(page: Page) -> None:
    steps.fill(page, "prompt", "Who sings at night?")
    name = steps.field(page, "train-name")
    page.locator("[data-room=find].mx-room").click()
    steps.switch(page, "Train").click()
    name.press_sequentially("typed at once")
    steps.settle(page)
    expect(name).to_have_value("typed at once")
    steps.open_train(page)
    expect(name).to_have_value("typed at once")
    expect(name).to_have_attribute("placeholder", "who-sings-at-night-1")
    steps.train(page, "", vectors=1, steps=1)
    assert steps.wait_for_training(page, "who-sings-at-night-1") == 1
    expect(steps.field(page, "bank")).to_have_value("who-sings-at-night-1")
    expect(name).to_have_attribute("placeholder", "who-sings-at-night-2")
    assert name.input_value() == ""


def test_progress_moves_and_stop_keeps_the_finished_vectors(page: Page) -> None:
    steps.train(page, "stopped", vectors=12, steps=12, method="sequential")
    expect(steps.progress(page, "train")).to_have_text(re.compile(r"vector ([2-9]|1\d) of 12"))
    expect(steps.progress(page, "train")).to_have_text(re.compile(r"\d+ s left"))
    expect(page.locator("#job-chip")).to_have_text(re.compile(r"Training “stopped”: \d+ %"))
    bar = page.locator("#train-progress progress")
    share = float(bar.get_attribute("value") or 0)
    assert 0 < share < 1
    expect(page.locator("#train-curves .js-plotly-plot .scatterlayer .trace").nth(1)).to_be_attached()
    pressed = time.monotonic()
    page.locator("#train-stop").click()
    kept = steps.wait_for_training(page, "stopped", "stopped")
    assert time.monotonic() - pressed <= 6
    assert 1 <= kept < 12
    expect(steps.field(page, "bank")).to_have_value("stopped")
    expect(steps.cards(page)).to_have_count(kept)


def test_training_goes_on_when_the_page_is_closed_and_everybody_sees_it(
    page: Page, open_page: Callable[..., Page], app: Any
) -> None:
    steps.train(page, "long", vectors=2, steps=LONG, method="sequential")
    expect(steps.progress(page, "train")).to_have_text(re.compile("vector 1 of 2 · .* left"))
    steps.reload(page)
    steps.expect_view(page, "Train")
    expect(steps.progress(page, "train")).to_contain_text("Training “long” · vector 1 of 2")
    expect(page.locator("#train-curves .js-plotly-plot")).to_be_visible()
    page.close()
    other = open_page(app, elsewhere=True)
    expect(other.locator("#job-chip")).to_contain_text("Training “long”")
    steps.train(other, "another", vectors=1, steps=1)
    expect(steps.progress(other, "train")).to_contain_text("then Training “another”")  # it waits in the queue
    expect(other.locator("#job-chip")).to_contain_text("1 more waits")
    other.locator("#train-stop").click()
    assert steps.wait_for_training(other, "another") == 1
    expect(steps.field(other, "bank")).to_have_value("another")


def test_stop_before_the_first_vector_keeps_nothing_and_is_no_failure(page: Page) -> None:
    steps.train(page, "nothing", vectors=2, steps=LONG, method="sequential")
    expect(steps.progress(page, "train")).to_contain_text("vector 1 of 2")
    page.locator("#train-stop").click()
    ended = "Training “nothing” was stopped before a vector was finished: nothing is kept."
    expect(steps.progress(page, "train")).to_have_text(ended)
    steps.settle(page)
    expect(steps.messages(page)).to_have_count(0)


def test_steering_goes_between_the_steps_of_a_training(page: Page) -> None:
    steps.fill(page, "prompt", "Say something short.")
    steps.train(page, "between", vectors=2, steps=LONG, method="sequential")
    expect(steps.progress(page, "train")).to_contain_text("vector 1 of 2")
    steps.tab(page, "Completions")
    assert len(steps.steer(page)) == 9
    expect(page.locator("#job-chip")).to_be_visible()
    stop_training(page)


def test_find_fills_in_r_and_the_budget_and_leaves_the_layers(page: Page) -> None:
    steps.fill(page, "prompt", "What is the best season?")
    steps.open_train(page)
    steps.choose_method(page, "joint")
    for name, value in (("train-vectors", 2), ("train-target", 28), ("train-source", 26)):
        steps.fill(page, name, value)
        steps.field(page, name).blur()
        steps.settle(page)
    before = steps.field(page, "train-radius").input_value()
    page.locator("#train-find").click()
    expect(page.locator("#train-norm")).to_contain_text(
        re.compile(r"blocks 26 → 28, R = .* × median, effect budget 0\.\d")
    )
    expect(steps.field(page, "train-radius")).not_to_have_value(before)
    expect(steps.field(page, "train-saturation")).to_have_value(re.compile(r"0\.[46]"))
    expect(steps.field(page, "train-source")).to_have_value("26")
    expect(steps.field(page, "train-target")).to_have_value("28")
