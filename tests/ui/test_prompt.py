"""The prompt: the exact tokens that go in, and which of them count."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def count(page: Page):
    return page.locator("#tokens .mx-token-count")


@pytest.fixture(autouse=True)
def panel_is_open(page: Page) -> None:
    steps.open_system(page)
    steps.pick(page, "scope", "assistant")
    expect(count(page)).to_have_text("37 tokens, 6 steered (scope assistant)")


def test_scope_decides_which_tokens_count(page: Page) -> None:
    steps.pick(page, "scope", "all")
    expect(count(page)).to_have_text("37 tokens, 37 steered (scope all)")
    steps.pick(page, "scope", "last:4")
    expect(count(page)).to_have_text("37 tokens, 4 steered (scope last:4)")
    expect(page.locator("#tokens .mx-token-on")).to_have_text(["<|im_start|>", "ass", "istant", "⏎"])
    steps.pick(page, "scope", "content")
    expect(count(page)).to_have_text("37 tokens, 36 steered (scope content)")  # all but the sink, the first token
    expect(page.locator("#tokens .mx-token").first).not_to_have_class("mx-token-on")
    steps.fill(page, "scope", "last:2")
    steps.field(page, "scope").press("Enter")
    expect(count(page)).to_have_text("37 tokens, 2 steered (scope last:2)")
    steps.fill(page, "scope", "now and then")
    steps.field(page, "scope").press("Enter")
    expect(page.locator("#tokens")).to_contain_text("now and then")
    expect(page.locator("#tokens .mx-token")).to_have_count(0)
    steps.pick(page, "scope", "assistant")


def test_system_text_and_template_are_in_the_tokens(page: Page) -> None:
    steps.settle(page)  # an answer to what was there before may come late
    steps.fill(page, "system", "Speak like a pirate.")
    expect(page.locator("#tokens .mx-token").filter(has_text="pirate")).to_have_count(1)
    steps.fill(page, "system", "")
    expect(count(page)).to_contain_text("37 tokens")
    steps.pick(page, "template", "none")
    steps.pick(page, "scope", "all")
    expect(count(page)).to_have_text("7 tokens, 7 steered (scope all)")
    assert len(steps.steer(page)) == 9


def test_no_line_of_tokens_is_cut(page: Page) -> None:
    strip = page.locator("#tokens .mx-tokens")
    for height in (800, 850, 1080):
        page.set_viewport_size({"width": 1360, "height": height})
        steps.fill(page, "prompt", f"Here are many lines.\nAnd one.\n\nAnd another of {height}." + " word" * 90)
        expect(page.locator("#tokens")).to_contain_text(str(height)[0])
        steps.settle(page)
        seen = steps.whole(strip, ".mx-token")
        assert len(seen) > 5 and all(seen)
        assert strip.evaluate("node => node.scrollHeight > node.clientHeight")


def test_of_a_long_prompt_both_ends_are_shown(page: Page) -> None:
    steps.pick(page, "scope", "assistant")
    steps.fill(page, "prompt", "one two three " * 500)
    expect(count(page)).to_have_text(re.compile(r"^1,5\d\d tokens, 6 steered"))
    expect(page.locator("#tokens .mx-token")).to_have_count(300)
    expect(page.locator("#tokens .mx-token-gap")).to_have_text(re.compile(r"^… 1,2\d\d tokens not shown …$"))
    expect(page.locator("#tokens .mx-token-on")).to_have_count(6)
    total = int(count(page).inner_text().split()[0].replace(",", ""))
    expect(page.locator("#tokens .mx-token").last).to_have_attribute("title", f"token {total - 1}, in scope")


def test_empty_prompt_is_said_in_the_strip(page: Page) -> None:
    steps.fill(page, "prompt", "")
    expect(page.locator("#tokens")).to_contain_text("empty")
    expect(page.locator("#tokens .mx-token")).to_have_count(0)
