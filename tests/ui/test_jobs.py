"""The list of jobs: what everybody's jobs do and did, with their log and what they made."""

import re

import pytest
import steps
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

LONG = 2000  # steps: far more than any test waits for


def row(page: Page, title: str) -> Locator:
    """The line of a job."""
    return page.locator("#job-table tr[data-key]").filter(has_text=title)


def choose(page: Page, title: str) -> None:
    """Click a job in the list."""
    row(page, title).click()
    expect(row(page, title)).to_have_attribute("aria-selected", "true")
    steps.settle(page)


def test_jobs_wait_in_line_and_are_removed_stopped_run_again_and_opened(page: Page) -> None:
    steps.train(page, "long job", vectors=2, steps=LONG, method="sequential")
    expect(steps.progress(page, "train")).to_contain_text("vector 1 of 2")
    steps.fill(page, "train-name", "short")
    steps.fill(page, "train-vectors", 1)
    steps.fill(page, "train-steps", 1)
    page.locator("#train-start").click()
    expect(steps.progress(page, "train")).to_contain_text("then Training “short”")
    steps.tab(page, "Jobs")
    expect(row(page, "long job")).to_contain_text(re.compile(r"running.*\d %.*left.*this machine"))
    expect(row(page, "short")).to_contain_text("place 1 in the queue")
    choose(page, "short")
    expect(page.locator("#job-stop")).to_have_text("Remove from the queue")
    page.locator("#job-stop").click()
    expect(row(page, "short")).to_contain_text("stopped")

    choose(page, "long job")
    expect(page.locator("#job-details")).to_contain_text("Needs ")
    expect(page.locator("#job-open")).to_be_disabled()
    page.locator("#job-stop").click()
    expect(row(page, "long job")).to_contain_text("stopped")

    choose(page, "short")
    page.locator("#job-again").click()
    expect(row(page, "short").first).to_contain_text("done")
    expect(page.locator("#job-details")).to_contain_text("It made the bank “short”.")
    page.locator("#job-open").click()
    expect(page.locator("#steer-button")).to_be_visible()
    expect(steps.field(page, "bank")).to_have_value("short")


def test_a_map_goes_on_when_the_page_is_reloaded_and_can_be_opened_from_the_list(page: Page) -> None:
    steps.choose_only(page, 0, 1)
    steps.fill(page, "prompt", "Tell me all there is to say about lakes.")
    steps.fill(page, "max-new-tokens", 48)
    steps.tab(page, "Map")
    steps.fill(page, "map-radii", "9")
    page.locator("#map-draw").click()
    expect(steps.progress(page, "map")).to_contain_text("completing")
    steps.leave(page)
    page.reload()  # the window opens where it was
    expect(steps.progress(page, "map")).to_contain_text(re.compile("completing|embedding|laying|finding"))
    expect(steps.progress(page, "map")).to_have_text("3 completions.")
    points = steps.points(page)

    steps.tab(page, "Jobs")
    row(page, "Map of “bomb-question”").first.click()
    expect(page.locator("#job-details")).to_contain_text("It made comparison")
    steps.forget(page, "map")
    page.locator("#job-open").click()
    expect(steps.progress(page, "map")).to_have_text("3 completions.")
    assert steps.points(page) == points
