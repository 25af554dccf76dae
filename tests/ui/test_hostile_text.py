"""Text of models and people is shown as it is, and never runs."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}{{hurt}}<b>"


@pytest.fixture(autouse=True)
def nothing_ran(page: Page) -> Iterator[None]:
    yield
    assert page.evaluate("window.hurt === undefined")
    assert page.locator("img[src=x]").count() == 0


def test_prompt_in_tokens_list_and_groups(page: Page) -> None:
    steps.choose_only(page, 0)
    steps.fill(page, "prompt", f"{HOSTILE}\n---\n{HOSTILE} again")
    steps.open_system(page)
    steps.fill(page, "system", HOSTILE)
    expect(page.locator("#tokens .mx-token-count")).to_have_count(2)
    steps.settle(page)
    shown = "".join(page.locator("#tokens .mx-token").all_inner_texts()).replace("·", " ")
    assert shown.count(HOSTILE) == 4
    steps.steer(page)
    expect(page.locator("#completions .mx-group-title").first).to_have_text(f"Prompt 1: {HOSTILE}")
    assert HOSTILE[:30] in steps.field(page, "history").input_value()
    steps.field(page, "history").click()
    expect(page.get_by_role("option").filter(has_text=HOSTILE[:30]).first).to_be_visible()


def test_completion_in_grid_map_and_label(page: Page, app: Any) -> None:
    prompt = "Say what nobody should run."
    steps.choose_only(page, 2)
    steps.fill(page, "prompt", prompt)
    steps.steer(page)
    with sqlite3.connect(app.cache / "melbo.sqlite") as database:  # what a model may well say one day
        changed = database.execute(
            "update completions set text = ? where prompt_id = (select id from prompts where user = ?)",
            (HOSTILE, prompt),
        )
        assert changed.rowcount == 2
    assert steps.steer(page) == [HOSTILE, HOSTILE]
    steps.draw_map(page, "9")
    steps.plot(page).evaluate("plot => plot.scrollIntoView({ block: 'end' })")
    place = steps.place(page, steps.points(page)[0]["id"])
    page.mouse.move(*place)
    expect(page.locator("#map-plot .hoverlayer .hovertext")).to_contain_text(HOSTILE[:26])
    page.mouse.click(*place)
    expect(page.locator("#map-completion .mx-completion-text")).to_contain_text(HOSTILE)
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="2"]').click()
    expect(page.locator("#label-completion .mx-kind-vector .mx-completion-text").first).to_contain_text(HOSTILE)


def test_label_in_table_cards_lists_and_map(page: Page) -> None:
    steps.choose_bank(page, "who-are-you")
    page.locator("#bank-prompt").click()
    steps.choose_only(page, 1)
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="1"]').click()
    expect(steps.field(page, "label-vector")).to_have_value("1")
    steps.fill(page, "label-name", HOSTILE)
    steps.fill(page, "label-note", HOSTILE)
    steps.field(page, "label-tags").fill("<b>${1}{{2}}")
    steps.field(page, "label-tags").press("Enter")
    page.locator("#label-save").click()
    expect(page.locator('#vector-cards .mx-card[data-vector="1"]')).to_contain_text(HOSTILE)
    cells = page.locator('#label-table tr[data-key="1"] td')
    expect(cells.nth(1)).to_have_text(HOSTILE)
    expect(cells.nth(2)).to_have_text("<b>${1}{{2}}")
    expect(cells.nth(4)).to_have_text(HOSTILE)
    expect(page.locator("#vector-cards")).to_contain_text(HOSTILE)
    steps.draw_map(page, "9.5")
    page.locator("#map-colour").get_by_label("by label").check()
    expect(page.locator("#map-plot .mx-legend")).to_contain_text(HOSTILE[:20])
    steps.tab(page, "Completions")
    steps.steer(page)
    expect(page.locator("#completions .mx-completion-name").last).to_have_text(HOSTILE)


def test_message_that_quotes_it(page: Page) -> None:
    steps.tab(page, "Models")
    steps.fill(page, "model-spec", HOSTILE)
    page.locator("#model-load").click()
    assert HOSTILE in steps.refused(page, "Model")
    steps.open_train(page)
    steps.fill(page, "train-name", HOSTILE)
    page.locator("#train-start").click()
    assert HOSTILE in steps.refused(page, "Name")
