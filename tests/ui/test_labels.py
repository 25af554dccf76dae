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
    page.locator("#label-rating").get_by_label(str(stars), exact=True).check()
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
    text = steps.steer(page)[2]
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
    assert (row["prompt"], row["text"], row["R"], row["text_R"]) == (steps.PROMPT, text, "9.0", "9.0")
    assert row["model"] and row["bank_hash"] and row["tags"] == "refusal, short"
    records = [json.loads(line) for line in exported(page, "jsonl", tmp_path).splitlines()]
    record = next(record for record in records if record["name"] == "plain list")
    assert record["tag:refusal"] is True and record["rating"] == 4
    assert (record["prompt"], record["text"], record["tags"]) == (steps.PROMPT, text, ["refusal", "short"])

    steps.reload(page)
    steps.choose_bank(page, steps.SAMPLE)
    expect(card(page, 5)).to_contain_text("plain list")
    steps.tab(page, "Labels")
    assert cells(page, 5)[1:3] == ["plain list", "refusal, short"]


def focused(page: Page) -> bool:
    """Whether the keyboard writes into the name."""
    return page.evaluate("document.activeElement?.closest('#label-name') !== null")


def test_a_label_is_written_without_the_mouse(page: Page) -> None:
    """Control+Enter once saved, dropped the focus, and steered when it was pressed again."""
    steps.forget(page, "steer")
    steps.tab(page, "Labels")
    steps.pick(page, "label-order", "all, by number")
    steps.settle(page)
    steps.reload(page)
    steps.tab(page, "Labels")
    expect(steps.field(page, "label-order")).to_have_value("all, by number")
    page.locator('#label-table tr[data-key="5"]').click()
    number, name = steps.field(page, "label-vector"), steps.field(page, "label-name")
    expect(number).to_have_value("5")
    steps.settle(page)
    before = [cells(page, vector)[1:5] for vector in (5, 6)]
    name.fill("by keyboard")
    name.press("Control+Enter")
    page.keyboard.type("code")  # written while the answer is on its way: it belongs to the next label
    expect(number).to_have_value("6")
    expect(name).to_have_value(re.compile("code$"))
    assert focused(page) and cells(page, 5)[1] == "by keyboard"
    name.fill("code")
    page.keyboard.press("Enter")
    expect(number).to_have_value("7")
    steps.settle(page)
    assert focused(page) and cells(page, 6)[1] == "code"
    page.keyboard.press("Control+Enter")  # nothing was written: it only goes on
    steps.settle(page)
    page.locator('#label-table tr[data-key="5"]').click()
    expect(number).to_have_value("5")
    page.keyboard.press("2")
    expect(page.locator("#label-rating").get_by_label("2", exact=True)).to_be_checked()
    page.keyboard.press("s")
    expect(number).to_have_value("6")
    assert cells(page, 5)[3] == "★★"
    for vector in (5, 6, 5):  # the last save first
        page.keyboard.press("u")
        expect(number).to_have_value(str(vector))
        steps.settle(page)
    assert [cells(page, vector)[1:5] for vector in (5, 6)] == before
    page.locator("#prompt textarea").press("Control+Enter")
    steps.settle(page)
    assert steps.progress(page, "steer").inner_text() == ""


def test_enter_goes_on_to_a_vector_without_a_label(page: Page) -> None:
    steps.tab(page, "Labels")
    steps.pick(page, "label-order", "unlabelled, by number")
    page.locator('#label-table tr[data-key="0"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 0")
    steps.settle(page)
    rows = [cells(page, vector) for vector in range(8)]
    free = [vector for vector in range(1, 8) if not any(rows[vector][1:5])]
    assert free, "every vector has a label by now"
    done = sum(any(row[1:5]) for row in rows)
    expect(page.locator("#label-progress")).to_contain_text(f"{done} of 8 labelled")
    steps.field(page, "label-name").fill("now it has one")
    steps.field(page, "label-name").press("Enter")
    expect(steps.field(page, "label-vector")).to_have_value(str(free[0]))
    done += not any(rows[0][1:5])
    expect(page.locator("#label-progress")).to_contain_text(f"{done} of 8 labelled")


def test_a_name_a_tag_and_a_rating_take_four_presses_besides_their_text(page: Page) -> None:
    steps.tab(page, "Labels")
    steps.pick(page, "label-order", "all, by number")
    page.locator('#label-table tr[data-key="1"]').click()
    number = steps.field(page, "label-vector")
    expect(number).to_have_value("1")
    steps.settle(page)
    pressed = 0

    def press(key: str) -> None:
        nonlocal pressed
        page.keyboard.press(key)
        pressed += 1

    steps.field(page, "label-name").focus()
    many = (1, 2, 3, 4)
    for vector in many:
        expect(number).to_have_value(str(vector))
        steps.settle(page)
        page.keyboard.press("Control+a")  # other tests have labelled these
        page.keyboard.type(f"name {vector}")
        press("Alt+4")
        press("Tab")
        page.keyboard.type(f"tag{vector}")
        press("Control+Enter")
    expect(number).to_have_value("5")
    steps.settle(page)
    for vector in many:
        _, name, tags, stars, *_ = cells(page, vector)
        assert name == f"name {vector}" and f"tag{vector}" in tags and stars == "★★★★"
    assert pressed <= 4 * len(many)
    page.keyboard.press("Escape")
    for vector in reversed(many):  # other tests begin without these labels
        page.keyboard.press("u")
        expect(number).to_have_value(str(vector))
        steps.settle(page)


def test_two_windows_that_label_one_vector_see_both_versions(page: Page, open_page, app) -> None:
    """The later save once won without a word."""
    other = open_page(app)
    steps.choose_bank(other, steps.SAMPLE)
    for window in (page, other):
        steps.tab(window, "Labels")
        window.locator('#label-table tr[data-key="1"]').click()
        expect(window.locator("#label-of")).to_contain_text("Vector 1")
        steps.settle(window)
    mine, theirs = steps.field(page, "label-name"), steps.field(other, "label-name")
    for choice, kept in (("Keep theirs", "theirs"), ("Save mine", "mine")):
        theirs.fill(f"theirs, then {choice}")
        theirs.press("Shift+Enter")
        expect(other.locator('#label-table tr[data-key="1"]')).to_contain_text(f"theirs, then {choice}")
        mine.fill(f"mine, then {choice}")
        mine.press("Enter")
        clash = page.locator("#label-clash .mx-clash")
        expect(clash).to_contain_text(f"theirs, then {choice}")
        expect(clash).to_contain_text(f"mine, then {choice}")
        expect(mine).to_have_value(f"mine, then {choice}")
        expect(steps.field(page, "label-vector")).to_have_value("1")
        assert cells(page, 1)[1] == f"theirs, then {choice}"
        clash.get_by_role("button", name=choice).click()
        expect(clash).to_be_hidden()
        expect(mine).to_have_value(f"{kept}, then {choice}")
        steps.settle(page)
        assert focused(page) and cells(page, 1)[1] == f"{kept}, then {choice}"
        other.locator("#label-discard").click()
        expect(theirs).to_have_value(f"{kept}, then {choice}")
        steps.settle(other)


def test_the_texts_beside_a_label_are_on_one_prompt_that_is_named(page: Page) -> None:
    """A vector was once judged by a text on a prompt that somebody had typed before."""
    shown = page.locator("#label-completion")
    texts = shown.locator(".mx-kind-vector .mx-completion-title")
    steps.choose_bank(page, "who-are-you")
    steps.choose_only(page, 2)
    page.locator("#prompt textarea").fill("Count to three.")
    steps.steer(page)
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="2"]').click()
    expect(shown.locator(".mx-evidence-origin")).to_have_text("Another prompt than the bank’s, which is “Who are you?”")
    expect(shown.locator(".mx-evidence-prompt")).to_have_text("Count to three.")
    shown.get_by_role("button", name="Steer it").click()
    expect(shown.locator(".mx-evidence-prompt")).to_have_text("Who are you?")
    expect(shown.locator(".mx-evidence-origin")).to_have_text("The bank’s training prompt")
    expect(steps.progress(page, "label-steer")).to_have_text("Done")
    expect(shown.locator(".mx-kind-baseline")).to_have_count(1)
    expect(texts).to_have_text([re.compile("^R .* the vector’s own$")])
    expect(shown.get_by_role("button", name="Steer it")).to_have_count(0)
    steps.settle(page)
    steps.tab(page, "Completions")  # its texts are listed there, and what they say of their R
    steps.field(page, "history").click()
    expect(page.get_by_test_id("dropdown-option").first).to_contain_text("who-are-you")
    page.keyboard.press("Escape")
    steps.tab(page, "Labels")
    suggested = page.locator("#label-names .mx-name").first  # by vectors with similar texts
    suggested.click()
    expect(steps.field(page, "label-name")).to_have_value(suggested.inner_text())
    page.locator("#label-discard").click()
    steps.settle(page)
    expect(page.locator(".mx-radius-measured").first).to_have_attribute(
        "title", re.compile(r"of \d+ stored texts \d+ are")
    )


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
    for radius in (6, 12):
        steps.set_radius(page, radius)
        steps.steer(page)
    steps.set_radius(page, 9)
    text = steps.steer(page)[1]
    steps.completions(page, "vector").locator("[data-action=label]").click()
    steps.expect_view(page, "Labels")
    expect(steps.field(page, "label-vector")).to_have_value("4")
    shown = page.locator("#label-completion")
    expect(shown.locator(".mx-evidence-prompt")).to_have_text(steps.PROMPT)
    expect(shown.locator(".mx-completion-title")).to_have_text(
        ["Without steering", "R 9 · the vector’s own", "R 6", "R 12"]
    )
    own = shown.locator(".mx-kind-vector").filter(has_text="the vector’s own")
    expect(own.locator(".mx-completion-text")).to_contain_text(text)


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
