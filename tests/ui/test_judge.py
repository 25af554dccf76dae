"""A judge: scored beside the built-in verdict, off or on by that, and what it says on the cards, marked as its own."""

import json
import re

import pytest
import steps
from judge_stub import Stub, running
from playwright.sync_api import Page, expect

from melbo_app.jobs.bench import Bench

pytestmark = pytest.mark.browser
GRADED = Bench.graded
HOSTILE = "Hurts <img src=x onerror=hurt=1>${window.hurt=2}"


def name_endpoint(page: Page, url: str, model: str) -> None:
    steps.fill(page, "judge-endpoint", url)
    steps.fill(page, "judge-endpoint-model", model)
    steps.settle(page)


def press_score(page: Page) -> None:
    steps.forget(page, "judge")
    page.locator("#judge-score").click()


def reader(stub: Stub) -> None:
    """From now on it grades the graded texts as the reader did."""
    rows = map(json.loads, GRADED.read_text("utf-8").splitlines())
    stub.known = {row["text"]: row["grade"] for row in rows if row["part"] == "held out"}


def test_an_endpoint_is_off_until_it_beats_the_built_in_verdict_and_then_says_its_own_on_the_cards(page: Page) -> None:
    steps.choose_only(page, 0)
    steps.fill(page, "prompt", "What do judges do?")  # texts that no other test shows
    steps.settle(page)
    steps.steer(page)
    steps.unfold(page, "judge")
    told, judge = page.locator("#judge-standing"), page.locator("#judge-texts")
    expect(told).to_contain_text("SmolLM2-135M-Instruct was never compared with the reader: off")
    expect(judge).to_be_disabled()
    page.locator("#judge-who").get_by_label("endpoint", exact=True).check()
    steps.settle(page)
    with running() as stub:
        name_endpoint(page, stub.url, "big")
        press_score(page)  # it finds every text readable
        expect(told).to_contain_text("big agrees with the reader on 54 of 70, the built-in verdict on 61 of 70: off")
        expect(judge).to_be_disabled()
        stub.says = "I would rather not say."
        press_score(page)
        steps.refused(page, "Judge: “I would rather not say” is not readable, strange or broken")
        stub.says, stub.behaviour = None, HOSTILE
        reader(stub)
        press_score(page)
        expect(told).to_contain_text("big agrees with the reader on 70 of 70, the built-in verdict on 61 of 70: on")
        judge.click()
        said = steps.completions(page).locator(".mx-judged")
        expect(said).to_have_text([f"bigreadable{HOSTILE}"] * 2)
        expect(said.first).to_have_attribute("title", re.compile(f"Judged by big at {stub.url}"))
        expect(steps.completions(page).first.locator(".mx-scores .mx-score")).to_have_count(1)  # the built-in one
        assert page.evaluate("window.hurt === undefined")
    press_score(page)
    steps.refused(page, f"Endpoint: {stub.url}: it cannot be reached")
    expect(steps.progress(page, "judge")).to_have_text("Not finished.")
    name_endpoint(page, stub.url, " ")
    expect(told).to_contain_text("Endpoint model: none was given")
    expect(judge).to_be_disabled()
    page.locator("#judge-who").get_by_label("loaded model").check()
    steps.unfold(page, "judge")
