"""The slider for R: signed, in two units, and quiet while it moves."""

import re
from collections.abc import Callable

import pytest
import steps
from playwright.sync_api import Page, Request, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def is_release(page: Page) -> Callable[[Request], bool]:
    """Whether a request tells the program a new R."""
    targets = page.evaluate("gradio_config.dependencies.map((one) => [one.id, one.targets.map((target) => target[1])])")
    numbers = {number for number, events in targets if "release" in events}
    assert numbers
    return lambda request: "/queue/join" in request.url and (request.post_data_json or {}).get("fn_index") in numbers


@pytest.fixture
def releases(page: Page, is_release: Callable[[Request], bool]) -> list[Request]:
    """Grows by one for each time that the slider tells the program a new R."""
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request) if is_release(request) else None)
    return seen


def label(page: Page) -> str:
    return page.locator(".mx-radius-label").inner_text()


def test_both_units_are_shown(page: Page) -> None:
    assert label(page) == "R = 9 (0.077 × median)"
    steps.set_radius(page, 18)
    assert label(page) == "R = 18 (0.15 × median)"


def test_dragging_is_reported_once_when_the_pointer_lets_go(page: Page, releases: list[Request]) -> None:
    box = page.locator("#radius-range").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    page.mouse.down()
    seen = set()
    for step in range(12):
        page.mouse.move(box["x"] + box["width"] * (0.7 - 0.05 * step), middle)
        seen.add(label(page))
    assert len(seen) >= 8  # the words follow the pointer
    assert releases == []
    page.mouse.up()
    expect(page.locator(".mx-radius-label")).to_have_text(re.compile("R = -"))
    steps.steer(page)  # by now the slider has said what it had to say
    assert len(releases) == 1
    shown = page.locator("#radius-exact").input_value()
    expect(steps.completions(page, "vector").first.locator(".mx-completion-meta")).to_contain_text(f"R {shown} ")


def test_arrow_keys_move_it_and_are_reported_once(
    page: Page, releases: list[Request], is_release: Callable[[Request], bool]
) -> None:
    slider = page.get_by_role("slider")
    slider.focus()
    seen = [label(page)]
    for _ in range(5):
        slider.press("ArrowRight")
        seen.append(label(page))
    assert len(set(seen)) == 6
    assert slider.get_attribute("aria-valuetext") == seen[-1]
    with page.expect_request(is_release):  # once the keys rest
        slider.press("ArrowRight")
    steps.steer(page)
    assert len(releases) == 1
    assert float(page.locator("#radius-exact").input_value()) > 9


def test_negative_radius_can_be_written_and_reset(page: Page, releases: list[Request]) -> None:
    steps.choose_only(page, 0)
    steps.set_radius(page, -8.5)
    steps.steer(page)
    expect(steps.completions(page, "vector").locator(".mx-completion-meta")).to_have_text(re.compile("^R -8.5 "))
    page.locator("#radius-reset").click()
    expect(page.locator(".mx-radius-label")).to_have_text("R = 9 (0.077 × median)")
    steps.settle(page)
    assert len(releases) == 2


def test_what_is_no_number_is_marked_and_not_used(page: Page, releases: list[Request]) -> None:
    exact = page.locator("#radius-exact")
    exact.fill("nine")
    exact.press("Enter")
    expect(exact).to_have_attribute("aria-invalid", "true")
    assert label(page).startswith("R = 9 ")
    assert releases == []
