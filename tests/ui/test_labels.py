"""Labels: what a person says about a vector is kept, shown and given away."""

import csv
import json
import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def write(page: Page, name: str, tags: list[str], stars: int, note: str) -> None:
    steps.fill(page, "label-name", name)
    for tag in tags:
        steps.field(page, "label-tags").fill(tag)
        steps.field(page, "label-tags").press("Enter")
        expect(page.locator("#label-tags .token").filter(has_text=tag)).to_be_visible()
    steps.pick(page, "label-rating", "★" * stars)
    steps.fill(page, "label-note", note)


def cells(page: Page, vector: int) -> list[str]:
    return page.locator(f'#label-table tr[data-key="{vector}"] td').all_inner_texts()


def card(page: Page, vector: int):
    return page.locator(f'#vector-cards .mx-card[data-vector="{vector}"]')


def exported(page: Page, ending: str, folder: Path) -> str:
    with page.expect_download() as caught:
        page.locator(f"#labels-{ending}").click()
    assert caught.value.suggested_filename == f"melbo-labels.{ending}"
    path = folder / caught.value.suggested_filename
    caught.value.save_as(path)
    return path.read_text("utf-8")


def test_label_is_on_the_card_in_the_downloads_and_after_a_reload(page: Page, tmp_path: Path) -> None:
    steps.choose_only(page, 2, 5)
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="5"]').click()
    expect(steps.field(page, "label-vector")).to_have_value("5")
    write(page, "plain list", ["refusal", "short"], 4, "gives tools, no steps")
    page.locator("#label-save").click()
    expect(card(page, 5)).to_contain_text("plain list")
    expect(card(page, 5).locator(".mx-stars")).to_have_text("★★★★")
    expect(steps.chosen_cards(page)).to_have_count(2)  # the choice stays as it was
    assert cells(page, 5)[1:5] == ["plain list", "refusal, short", "★★★★", "gives tools, no steps"]

    rows = list(csv.DictReader(exported(page, "csv", tmp_path).removeprefix("\ufeff").splitlines()))
    row = next(row for row in rows if row["name"] == "plain list")
    assert (row["bank"], row["vector"], row["rating"]) == (steps.SAMPLE, "5", "4")
    assert (row["note"], row["tag:refusal"], row["tag:short"]) == ("gives tools, no steps", "1", "1")
    records = [json.loads(line) for line in exported(page, "jsonl", tmp_path).splitlines()]
    record = next(record for record in records if record["name"] == "plain list")
    assert record["tag:refusal"] is True and record["rating"] == 4

    steps.reload(page)
    steps.choose_bank(page, steps.SAMPLE)
    expect(card(page, 5)).to_contain_text("plain list")
    steps.tab(page, "Labels")
    assert cells(page, 5)[1:3] == ["plain list", "refusal, short"]


def test_control_and_enter_save_the_label(page: Page) -> None:
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="6"]').click()
    expect(steps.field(page, "label-vector")).to_have_value("6")
    steps.fill(page, "label-note", "by keyboard")
    steps.field(page, "label-name").press_sequentially("code")
    steps.field(page, "label-name").press("Control+Enter")
    expect(card(page, 6)).to_contain_text("code")
    assert cells(page, 6)[4] == "by keyboard"


def test_previous_and_next_walk_through_the_vectors(page: Page) -> None:
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="1"]').click()
    number = steps.field(page, "label-vector")
    expect(number).to_have_value("1")
    page.locator("#label-previous").click()
    expect(number).to_have_value("0")
    page.locator("#label-previous").click()
    steps.settle(page)
    page.locator("#label-next").click()
    expect(number).to_have_value("1")
    for written, shown in ((99, "7"), (-1, "0")):
        number.fill(str(written))
        number.press("Enter")
        expect(number).to_have_value(shown)


def test_moving_on_saves_what_was_written(page: Page) -> None:
    """By the button, by the table, by the number, and by another bank."""
    steps.choose_only(page, 0, 3)
    steps.tab(page, "Labels")
    number, name = steps.field(page, "label-vector"), steps.field(page, "label-name")
    page.locator('#label-table tr[data-key="0"]').click()
    for vector, words in enumerate(["first", "second"]):
        expect(number).to_have_value(str(vector))
        steps.settle(page)
        name.fill(words)
        page.locator("#label-next").click()
    expect(number).to_have_value("2")
    steps.settle(page)
    expect(name).to_have_value("")
    name.fill("third")
    page.locator('#label-table tr[data-key="6"]').click()
    expect(number).to_have_value("6")
    steps.settle(page)
    steps.fill(page, "label-note", "fourth")
    number.fill("4")
    expect(page.locator("#label-of")).to_contain_text("Vector 4")
    steps.settle(page)
    name.fill("fifth")
    steps.choose_bank(page, "who-are-you")
    expect(page.locator("#label-of")).to_contain_text("who-are-you")
    expect(name).to_have_value("")
    steps.choose_bank(page, steps.SAMPLE)
    expect(page.locator("#label-of")).to_contain_text(steps.SAMPLE)
    steps.settle(page)
    assert [cells(page, vector)[1] for vector in (0, 1, 2, 4)] == ["first", "second", "third", "fifth"]
    assert cells(page, 6)[4] == "fourth"
    expect(card(page, 2)).to_contain_text("third")


def test_what_cannot_be_saved_stays_until_it_is_mended_or_discarded(page: Page) -> None:
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="3"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 3")
    steps.settle(page)
    name, long = steps.field(page, "label-name"), "word " * 40
    before = name.input_value()
    name.fill(long)
    page.locator("#label-next").click()
    steps.refused(page, "Label of vector 3, name: it is 199 characters long")
    page.locator('#label-table tr[data-key="5"]').click()
    steps.refused(page, "Label of vector 3, name: it is 199 characters long")
    steps.settle(page)
    expect(name).to_have_value(long)
    expect(steps.field(page, "label-vector")).to_have_value("3")
    expect(page.locator('#label-table tr[aria-selected="true"]')).to_have_attribute("data-key", "3")
    page.locator("#label-discard").click()
    expect(name).to_have_value(before)
    page.locator("#label-next").click()
    expect(steps.field(page, "label-vector")).to_have_value("4")


def test_label_button_of_a_completion_opens_its_label(page: Page) -> None:
    steps.choose_only(page, 4)
    text = steps.steer(page)[1]
    steps.completions(page, "vector").locator("[data-action=label]").click()
    steps.expect_view(page, "Labels")
    expect(steps.field(page, "label-vector")).to_have_value("4")
    expect(page.locator("#label-completion .mx-completion-text")).to_contain_text(text)


def test_what_a_vector_makes_likelier_stands_beside_its_label(page: Page) -> None:
    steps.tab(page, "Labels")
    shown = page.locator("#label-tokens")
    lists = re.compile(r"More likely next: \S+( · \S.*){2,7}\s*Less likely next: \S+( · \S.*){2,7}")
    page.locator('#label-table tr[data-key="1"]').click()
    expect(page.locator("#label-of")).to_have_text(f"Vector 1 of “{steps.SAMPLE}”")
    steps.settle(page)
    expect(shown).to_have_text(lists, use_inner_text=True)
    first = shown.inner_text()
    page.locator("#label-next").click()
    expect(page.locator("#label-of")).to_have_text(f"Vector 2 of “{steps.SAMPLE}”")
    expect(shown).not_to_have_text(first, use_inner_text=True)
    expect(shown).to_have_text(lists, use_inner_text=True)
