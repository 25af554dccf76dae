"""Opening the page: it is never empty, and it goes on where it was left."""

from collections.abc import Callable
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_first_page_is_not_empty_and_the_last_comparison_is_back_elsewhere_after_a_restart(
    own_app: Any, open_page: Callable[..., Page]
) -> None:
    page = open_page(own_app, elsewhere=True)
    assert steps.field(page, "prompt").input_value() == steps.PROMPT
    expect(page.locator("#bank input")).to_have_value(f"{steps.SAMPLE} (sample)")
    expect(page.locator("#tokens .mx-token-count")).to_have_text("37 tokens, 6 steered (scope assistant)")
    expect(page.locator("#tokens .mx-token")).to_have_count(37)
    expect(page.locator("#tokens .mx-token-on")).to_have_text(["<|im_end|>", "⏎", "<|im_start|>", "ass", "istant", "⏎"])
    expect(steps.chosen_cards(page)).to_have_count(8)
    texts = steps.steer(page)  # one press and nothing else
    assert len(texts) == 9 and len(set(texts)) >= 5

    steps.choose_bank(page, "who-are-you")
    steps.choose_only(page, 1, 3, 6)
    steps.set_radius(page, -7.25)
    steps.fill(page, "prompt", "Where do you live?")
    steps.fill(page, "max-new-tokens", 9)
    page.locator("#random-control input").check()
    texts = steps.steer(page)
    steps.draw_map(page, "8")
    points = steps.points(page)
    assert len(points) == 5
    page.context.close()

    own_app.stop()
    own_app.start()
    again = open_page(own_app, elsewhere=True)
    steps.tab(again, "Completions")
    expect(again.locator("#completions .mx-sheet-radius")).to_have_text(["R -7.25", "R 8"])  # the map's texts, too
    again.locator("#completions [data-view=all]").uncheck()
    expect(steps.completions(again)).to_have_count(5)
    assert steps.texts(again) == texts
    assert steps.field(again, "prompt").input_value() == "Where do you live?"
    assert steps.field(again, "bank").input_value() == "who-are-you (sample)"
    assert steps.chosen_vectors(again) == ["1", "3", "6"]
    expect(steps.chosen_cards(again)).to_have_count(3)
    expect(again.locator(".mx-radius-label")).to_contain_text("R = -7.25 ")
    expect(again.locator("#random-control input")).to_be_checked()
    assert steps.field(again, "max-new-tokens").input_value() == "9"
    steps.tab(again, "Map")  # and nothing else: the last map is drawn from the texts that were kept
    expect(steps.progress(again, "map")).to_have_text("5 completions.")
    assert steps.points(again) == points


def test_the_model_is_named_as_soon_as_the_page_is_opened_which_then_rests(
    open_page: Callable[..., Page], app: Any
) -> None:
    page = open_page(app)
    page.add_init_script("""
      const every = setInterval, frame = requestAnimationFrame;
      window.setInterval = (...given) => given[1] === 700 || every(...given);
      window.drawn = 0;
      window.requestAnimationFrame = (draw) => { window.drawn += 1; return frame(draw); };
    """)
    steps.settle(page)
    steps.leave(page)
    page.reload()
    expect(page.locator("#model-chip")).to_have_attribute("data-state", "ready")  # though the page never asks again
    expect(page.locator("#model-chip")).to_contain_text("30 blocks")
    steps.settle(page)
    second = "new Promise((told) => { const before = drawn; setTimeout(() => told(drawn - before), 1000) })"
    assert any(page.evaluate(second) < 10 for _ in range(10))  # what fades in may need some


def test_what_stands_at_the_left_survives_a_reload(page: Page) -> None:
    steps.steer(page)
    steps.choose_bank(page, "who-are-you")
    steps.choose_only(page, 2, 7)
    steps.set_radius(page, -4)
    steps.fill(page, "prompt", "Not asked yet")
    steps.reload(page)
    assert steps.field(page, "prompt").input_value() == "Not asked yet"
    assert steps.field(page, "bank").input_value() == "who-are-you (sample)"
    assert steps.chosen_vectors(page) == ["2", "7"]
    expect(steps.chosen_cards(page)).to_have_count(2)
    expect(page.locator(".mx-radius-label")).to_contain_text("R = -4 ")
