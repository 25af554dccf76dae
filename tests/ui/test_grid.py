"""The grid: a row for each vector and a column for each R, what differs, and the inspector."""

import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
MOVED = """() => {
  melbo.select({ radius: 9 });  // the column is shown at once, before a server could have answered
  return document.querySelector('#completions .mx-sheet-radius.mx-current').textContent;
}"""


@pytest.fixture
def sheet(page: Page) -> Locator:
    """The table of two vectors at R 0.001, which changes nothing, 9 and 14, the last with a random control."""
    steps.choose_only(page, 0, 3)
    steps.fill(page, "prompt", "Name three rivers.")
    for radius in (0.001, 9, 14):
        if radius == 14:
            page.locator("#random-control input").check()
        steps.set_radius(page, radius)
        steps.steer(page)
    page.locator("#completions [data-view=all]").check()
    expect(page.locator("#completions .mx-sheet")).to_be_visible()
    return page.locator("#completions .mx-sheet")


def cell(sheet: Locator, vector: int, radius: str) -> Locator:
    return sheet.locator(f'[data-vector="{vector}"] .mx-completion[data-column="{radius}"]')


def test_every_r_that_is_stored_is_a_column_and_the_slider_leads_to_it(page: Page, sheet: Locator) -> None:
    expect(sheet.get_by_role("columnheader")).to_have_text(["Vector", "R 0.001", "R 9", "R 14"])
    expect(sheet.get_by_role("rowheader")).to_have_text([re.compile("^Baseline"), re.compile("^Random control"),
                                                         re.compile("^Vector 0"), re.compile("^Vector 3")])  # fmt: skip
    expect(sheet.locator(".mx-completion")).to_have_count(1 + 1 + 2 * 3)
    before = steps.field(page, "history").input_value()
    assert page.evaluate(MOVED) == "R 9"
    expect(sheet.locator(".mx-completion.mx-current")).to_have_count(2)
    steps.settle(page)
    assert steps.field(page, "history").input_value() == before
    page.locator("#completions [data-view=all]").uncheck()
    expect(sheet).to_have_count(0)
    expect(page.locator("#completions .mx-completion-title")).to_have_text(
        ["Baseline", "Random control", "Vector 0", "Vector 3"]
    )
    expect(steps.completions(page, "vector").first.locator(".mx-completion-origin")).to_have_text(steps.SAMPLE)


def test_what_does_not_differ_is_hidden_on_request(page: Page, sheet: Locator) -> None:
    expect(sheet.locator("mark").first).to_be_visible()
    page.locator("#completions [data-view=marks]").uncheck()
    assert sheet.locator("mark").first.evaluate("mark => getComputedStyle(mark).backgroundColor") == "rgba(0, 0, 0, 0)"
    page.locator("#completions [data-view=marks]").check()
    same = page.locator("#completions [data-same=true]").count()
    assert same >= 2
    page.locator("#completions [data-view=differing]").check()
    expect(page.locator("#completions .mx-grid-hidden")).to_have_text(re.compile(rf"^{same} of 8 texts say the same"))
    expect(cell(sheet, 0, "0.001").locator(".mx-completion-text")).to_be_hidden()
    page.locator("#completions [data-view=differing]").uncheck()
    expect(cell(sheet, 0, "0.001").locator(".mx-completion-text")).to_be_visible()


def test_cells_are_reached_and_opened_by_keys(page: Page, sheet: Locator) -> None:
    cell(sheet, 0, "9").focus()
    expect(sheet.locator('[tabindex="0"]')).to_have_count(1)
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    expect(sheet.locator(".mx-kind-random")).to_be_focused()
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    focused = cell(sheet, 3, "14")
    expect(focused).to_be_focused()
    expect(focused).to_have_attribute("aria-selected", "true")
    assert page.evaluate("melbo.state.cell") == {"vector": 3, "radius": 14, "prompt": 0}
    page.keyboard.press("Enter")
    pane = page.locator("#completions .mx-inspector")
    expect(pane.locator("h3")).to_be_focused()
    expect(pane.locator("h3")).to_contain_text("Vector 3")
    expect(pane.locator("h4")).to_have_text(
        ["This text", "Without steering", "Random control, R 14", "Vector 3 at every R", "In numbers"]
    )
    expect(pane.locator(".mx-inspector-made")).to_have_text(f"{steps.SAMPLE} · “Name three rivers.”")
    pane.locator(".mx-inspector-radius", has_text="R 9").click()
    expect(cell(sheet, 3, "9")).to_have_attribute("aria-selected", "true")
    pane.get_by_text("Take this R").click()
    assert page.evaluate("melbo.state.radius") == 9
    pane.locator("h3").focus()
    page.keyboard.press("Escape")
    expect(pane).to_be_hidden()
    expect(cell(sheet, 3, "9")).to_be_focused()
    page.evaluate("melbo.select({ cell: { vector: 0, radius: 14, prompt: 0 } })")
    expect(cell(sheet, 0, "14")).to_have_attribute("aria-selected", "true")


def test_looking_up_what_is_stored_adds_nothing_to_the_history(page: Page) -> None:
    steps.choose_only(page, 2)
    steps.fill(page, "prompt", "Name a lake.")
    steps.set_radius(page, 8)
    steps.steer(page)
    entry = steps.field(page, "history").input_value()
    assert re.search(rf"· {steps.SAMPLE} · R 8 · 1 vector · “Name a lake.”$", entry)
    steps.steer(page)
    steps.set_radius(page, 10)
    steps.steer(page)
    steps.set_radius(page, 8)
    steps.steer(page)
    assert steps.field(page, "history").input_value() == entry
    steps.field(page, "history").click()
    lines = page.get_by_role("option", name=re.compile("“Name a lake.”"))
    expect(lines).to_have_count(2)
    steps.field(page, "history").press("Escape")


def test_a_report_opens_from_a_file_without_a_network(page: Page, sheet: Locator, tmp_path: Path) -> None:
    with page.expect_download() as caught:
        page.locator("#report").click()
    assert caught.value.suggested_filename == f"{steps.SAMPLE} report.html"
    file = tmp_path / "report.html"
    caught.value.save_as(file)
    expect(steps.progress(page, "steer")).to_contain_text("The file is ready.")
    with page.expect_download() as caught:
        page.locator("#report-csv").click()
    table = caught.value.path().read_text("utf-8-sig")
    assert table.startswith("prompt,system,kind,vector,R,text,") and table.count("Name three rivers.") >= 7
    assert page.context.browser
    with page.context.browser.new_context(offline=True) as elsewhere:
        report, wrong = elsewhere.new_page(), []
        report.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        report.on("pageerror", lambda error: wrong.append(str(error)))
        report.goto(file.as_uri())
        expect(report.locator(".grid thead th")).to_have_text(["Vector", "R 0.001", "R 9", "R 14"])
        expect(report.locator(".grid tbody tr")).to_have_count(3)
        expect(report.locator(".js-plotly-plot")).to_have_count(4)  # the map, δ, θ and texts
        same = report.locator(".grid .same").first
        expect(same).to_be_visible()
        report.locator("#differing").check()
        expect(same).to_be_hidden()
        assert wrong == []
