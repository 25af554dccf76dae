"""The page's components need their script, which comes beside the page."""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser


def test_components_that_are_there_before_their_script_wait_for_it(stranger: Page, app: Any) -> None:
    held: list[Route] = []
    stranger.route("**/explorer/components-*.js", lambda route: held.append(route))
    stranger.goto(app.url)
    expect(stranger.locator("#steer-button")).to_be_attached()
    expect(stranger.locator("#status-bar .mx")).to_be_empty()
    stranger.wait_for_timeout(6000)  # a later status has come by then
    [script] = held
    script.continue_()
    expect(stranger.locator(".mx-room[data-room=start]")).to_have_attribute("aria-current", "page")
    expect(stranger.locator("#vector-cards .mx-card").first).to_be_attached()
    assert stranger.evaluate("typeof Plotly") == "undefined"  # no figure is shown
