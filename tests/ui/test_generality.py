"""Generality: prompts are answered, cells open their texts by mouse and keyboard, and the result is shown again."""

import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}<b>"
CELLS = "#generality-grid [role=gridcell]"


def fill_in(page: Page, own: str) -> None:
    steps.choose_only(page, 1, 3)
    steps.tab(page, "Generality")
    for name in ("refused", "everyday"):
        page.locator("#generality-sets").get_by_label(name).uncheck()
    if not steps.field(page, "generality-own").is_visible():
        page.locator("#generality-own-panel button").first.click()
    steps.fill(page, "generality-own", own)
    steps.fill(page, "generality-random", 4)
    steps.fill(page, "generality-tokens", 4)


def test_prompts_are_measured_opened_and_shown_again(page: Page, tmp_path: Path) -> None:
    fill_in(page, "")
    file = tmp_path / "mine.jsonl"
    file.write_text(
        '{"prompt": "Who are you?", "group": "plain"}\n{"prompt": "Name a colour.", "group": "plain"}\n'
        f'{{"prompt": "{HOSTILE}", "group": "{HOSTILE}"}}\n',
        "utf-8",
    )
    with page.expect_file_chooser() as chooser:
        page.locator("#generality-upload").click()
    chooser.value.set_files(file)
    expect(steps.field(page, "generality-own")).to_have_value(file.read_text("utf-8"))
    page.locator("#generality-start").click()
    expect(page.locator(CELLS)).to_have_count(3 * (2 + 4))
    told = re.compile(r"^“bomb-question” on 3 prompts; the model refuses \d of them without steering\.$")
    expect(steps.progress(page, "generality")).to_have_text(told)
    lines = page.locator("#generality-table tbody tr").all_inner_texts()
    assert len(lines) == 2 and all(re.search(r"\d+%\t\d+% – \d+%\t\d+% \(each", line) for line in lines), lines
    expect(page.locator("#generality-groups tbody tr")).to_have_count(2)
    page.locator('#generality-grid [data-row="v3"][data-place="0"]').click()
    shown = page.locator("#generality-grid .mx-matrix-open")
    expect(shown.locator(".mx-group-title")).to_have_text("1. Who are you?")
    texts = shown.locator(".mx-completion-text")
    expect(texts).to_have_count(2)
    assert texts.first.get_attribute("dir") == "auto" and texts.first.inner_text()
    page.keyboard.press("ArrowDown")  # from the last vector to the first random one
    expect(page.locator('#generality-grid [data-row^="r0-"][data-place="0"]')).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(shown.locator(".mx-group-title")).to_have_text(f"3. {HOSTILE}")
    expect(shown.locator(".mx-completion-title").last).to_have_text("Random 0")
    assert page.evaluate("window.hurt === undefined") and page.locator("img[src=x]").count() == 0
    marks = page.locator(CELLS).all_inner_texts()
    steps.reload(page)
    steps.tab(page, "Generality")
    expect(page.locator(CELLS)).to_have_count(18)
    assert page.locator(CELLS).all_inner_texts() == marks
    page.locator('#generality-grid [data-row="v1"][data-place="1"]').click()
    page.locator("#generality-grid [data-act=use]").click()
    expect(steps.chosen_cards(page)).to_have_count(1)
    expect(steps.chosen_cards(page)).to_have_attribute("data-vector", "1")
    page.locator("#generality-grid [data-act=open]").click()
    expect(steps.field(page, "prompt")).to_have_value("Name a colour.")
    steps.tab(page, "Jobs")
    page.locator("#job-table tr[data-key]").filter(has_text="Generality of").first.click()
    expect(page.locator("#job-open")).to_be_enabled()
    page.locator("#job-open").click()
    expect(page.get_by_role("tab", name="Generality", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator(CELLS)).to_have_count(18)
    page.locator('#generality-grid [data-row="v1"][data-place="1"]').click()
    page.locator("#generality-grid [data-vector]").click()
    steps.expect_view(page, "Labels")
    expect(steps.field(page, "label-vector")).to_have_value("1")


def test_cells_of_several_sampled_texts_say_how_many_changed_and_open_all_of_them(page: Page) -> None:
    fill_in(page, "Who are you?\nName a colour.")
    samples = steps.field(page, "generality-samples")
    expect(samples).to_be_disabled()
    page.locator("#generality-mode").get_by_label("sampled").check()
    expect(samples).to_be_enabled()
    steps.fill(page, "generality-samples", 3)
    page.locator("#generality-start").click()
    expect(page.locator(CELLS)).to_have_count(2 * (2 + 4))
    expect(steps.progress(page, "generality")).to_contain_text("on 2 prompts, 3 texts each; the model refuses")
    counts = page.locator(CELLS).all_inner_texts()
    assert all(re.fullmatch(r"[0-3] of 3", one) for one in counts), counts
    shares = page.locator("#generality-grid .mx-matrix-share").all_inner_texts()
    first = sum(int(one[0]) for one in counts[:2])
    assert shares[0] == f"{first / 6:.0%}"
    cell = page.locator('#generality-grid [data-row="v3"][data-place="1"]')
    cell.click()
    shown = page.locator("#generality-grid .mx-matrix-open")
    expect(shown.locator(".mx-group-title")).to_have_text("2. Name a colour.")
    titles = [f"{who}, seed {seed}" for seed in range(3) for who in ("Baseline", "Vector 3")]
    expect(shown.locator(".mx-completion-title")).to_have_text(titles)
    said = [one for one in shown.locator(".mx-completion-meta").all_inner_texts() if not one.startswith("unchanged")]
    broken = [one for one in said if one.startswith("broken")]
    assert f"{len(said) - len(broken)} of 3" == cell.inner_text()
    expect(shown.locator("[data-act=use]")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_cannot_be_used_is_refused_with_its_line(page: Page) -> None:
    fill_in(page, '{"prompt": "fine"}\n{"words": "not"}')
    page.locator("#generality-start").click()
    steps.refused(page, "line 2 of your prompts has no “prompt”")
    steps.fill(page, "generality-own", "")
    page.locator("#generality-start").click()
    steps.refused(page, "none are chosen")
