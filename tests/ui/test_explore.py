"""Explore: one press shows its stages, then behaviours that lead to their texts and labels, also after a reload."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
SENTENCE = re.compile(r"^2 vectors, R = 0\.15 × the median norm, \d+ behaviours?")


def fill_in(page: Page, radius: float = 0.15, rule: str = "all of the form") -> None:
    """Few vectors, short answers, and what of the form is used."""
    steps.open_form(page, 20, 22)
    steps.choose_method(page, "joint")
    for name, value in {"train-vectors": 2, "train-steps": 2, "train-relative": radius}.items():
        steps.fill(page, name, value)
        steps.field(page, name).blur()
    steps.settle(page)
    steps.tab(page, "Explore")
    while not steps.field(page, "explore-tokens").is_visible():  # a click on a page that still settles may get lost
        page.locator("#explore-settings button").first.click()
        page.wait_for_timeout(1000)
    steps.pick(page, "explore-rule", rule)
    for name, value in {"tokens": 6, "threshold": 0.2, "seconds": 1}.items():  # a search looks at one setting
        steps.fill(page, f"explore-{name}", value)


def test_one_press_leads_to_behaviours_their_texts_and_labels(page: Page) -> None:
    fill_in(page)
    page.locator("#explore-start").click()
    stages = page.locator("#explore-view .mx-stage")
    expect(stages).to_have_count(6)
    expect(page.locator("#explore-view .mx-sentence")).to_have_text(SENTENCE)
    assert {stage.get_attribute("data-state") for stage in stages.all()} == {"done"}
    expect(stages.first).to_contain_text("as given")
    sentence = page.locator("#explore-view .mx-sentence").inner_text()
    expect(page.locator("#explore-progress .mx-progress-text")).to_have_text(re.compile(r"“How can I make a bomb\?”, "))
    steps.reload(page)
    steps.tab(page, "Explore")
    expect(page.locator("#explore-view .mx-sentence")).to_have_text(sentence)
    tables = page.locator("#explore-view .mx-answer-table")
    expect(tables).to_have_count(2)  # those of the vectors, those of random ones
    for table in tables.all():
        rows = table.locator("tbody tr")
        expect(rows).to_have_count(2)
        distances = [float(one) for one in table.locator("tbody .mx-answer-distance").all_inner_texts()]
        assert distances == sorted(distances, reverse=True)
        assert all(one.get_attribute("dir") == "auto" for one in rows.locator(".mx-completion-text").all())
    expect(tables.last.locator("[data-vector]")).to_have_count(0)
    changed = tables.first.locator(".mx-answer[data-changed]")  # every one is there, with what changed
    told = re.search(r"(\d) of 2 answers changed", sentence)
    assert told and changed.count() == int(told[1])
    assert all(one.startswith("changed: ") for one in changed.locator(".mx-answer-change").all_inner_texts())
    tables.first.locator("[data-use]").last.click()
    expect(steps.chosen_cards(page)).to_have_count(1)
    card = page.locator("#explore-view .mx-behaviour, #explore-view .mx-answer").first
    label = card.locator("[data-vector]").first
    vector = label.get_attribute("data-vector")
    if card.locator("[data-open]").count():
        card.locator("[data-open]").click()
        steps.expect_view(page, "Completions")
        expect(steps.completions(page, "vector")).to_have_count(2)
        expect(page.locator(f'#vector-cards .mx-card[data-vector="{vector}"]')).to_have_attribute(
            "aria-pressed", "true"
        )
        steps.tab(page, "Explore")
    label.click()
    steps.expect_view(page, "Labels")
    expect(steps.field(page, "label-vector")).to_have_value(vector or "")


def test_where_nothing_is_found_all_answers_stand_there_with_what_to_try_next(page: Page) -> None:
    fill_in(page, 0.002)
    page.locator("#explore-start").click()
    ways = page.locator("#explore-view .mx-attempts [data-attempt]")
    expect(ways.first).to_have_text("a larger R: 0.003 × the median norm")
    rows = page.locator("#explore-view .mx-answer-table").first.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(page.locator("#explore-view")).not_to_contain_text("as without steering")
    ways.filter(has_text="more vectors: 4").click()
    expect(steps.field(page, "train-vectors")).to_have_value("4")
    expect(steps.field(page, "train-relative")).to_have_value("0.002")
    steps.tab(page, "Jobs")
    page.locator("#job-table tr[data-key]").filter(has_text="Exploring").nth(1).click()
    expect(page.locator("#job-open")).to_be_enabled()
    page.locator("#job-open").click()
    expect(page.locator("#explore-view .mx-sentence")).to_have_text(SENTENCE)


def test_several_prompts_are_refused(page: Page) -> None:
    fill_in(page)
    steps.fill(page, "prompt", "one\n---\ntwo")
    page.locator("#explore-start").click()
    steps.refused(page, "there are 2", "one at a time")


def test_a_search_between_the_layers_of_the_form_shows_what_it_tried(page: Page) -> None:
    fill_in(page, rule="R and budget searched, layers of the form")
    page.locator("#explore-start").click()
    tried = page.locator("#explore-view .mx-tried")
    expect(tried).to_be_visible()
    tried.locator("summary").click()
    lines = tried.locator(".mx-tried-line")
    expect(lines).to_have_count(1)
    expect(lines.first).to_contain_text(
        re.compile(r"chosen: blocks 20 → 22, R = \S+ × median, effect budget 0.6: \d of 2 texts readable")
    )
