"""The library: what was made is found and opened again, and goes from one library to another in a file."""

from pathlib import Path
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def find(page: Page, text: str, kind: str = "everything") -> list[list[str]]:
    steps.tab(page, "Library")
    steps.pick(page, "library-kind", kind)
    steps.fill(page, "library-text", text)
    page.locator("#library-find").click()
    return steps.rows(page, "library")


def test_a_completion_is_found_by_its_words_and_opened_where_it_was_made(page: Page) -> None:
    """Open once led to a page of 49 cards, of which the one that was found was number 42, and R was another one."""
    prompt = "Which animals can fly?"
    steps.tab(page, "Completions")
    steps.fill(page, "prompt", prompt)
    page.locator("#both-signs input").check()
    texts = steps.steer(page)
    assert len(texts) == 17
    words = " ".join(texts[-1].split()[:6])
    found = find(page, words, "completions")
    assert found and all(row[0] == "completion" and words in row[2] for row in found)
    assert found[0][1:4:2] == [f"{steps.SAMPLE} 7", "-9"]
    steps.fill(page, "prompt", "something else")
    steps.set_radius(page, 4)
    page.locator("#library-table tr[data-key]").first.click()
    expect(page.locator("#library-details")).to_contain_text(words)
    page.locator("#library-open").click()
    steps.expect_view(page, "Completions")
    expect(steps.field(page, "prompt")).to_have_value(prompt)
    expect(page.locator("#completions .mx-inspector")).to_contain_text(words)
    opened = page.locator("#completions .mx-completion[aria-current=true]")
    expect(opened).to_contain_text("R -9")
    expect(opened).to_be_in_viewport(ratio=0.9)
    expect(page.locator(".mx-radius-label")).to_contain_text("R = -9 ")
    assert find(page, "no text has these words in it") == [["Nothing contains this text."]]


def test_a_label_is_found_by_its_note_and_opened(page: Page) -> None:
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="0"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 0")
    steps.fill(page, "label-name", "asks back")
    steps.fill(page, "label-note", "quite a curious note")
    page.locator("#label-save").click()
    steps.settle(page)
    [row] = find(page, "CURIOUS note", "labels")
    assert row[:3] == ["label", f"{steps.SAMPLE} 0", "asks back · quite a curious note"]
    page.locator("#library-table tr[data-key]").click()
    page.locator("#library-open").click()
    steps.expect_view(page, "Labels")
    expect(steps.field(page, "label-name")).to_have_value("asks back")


def test_a_library_comes_back_from_its_file(page: Page, tmp_path: Path) -> None:
    steps.tab(page, "Library")
    with page.expect_download() as caught:
        page.locator("#bundle-all").click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    assert path.suffix == ".zip"
    page.locator("#bundle-upload input[type=file]").set_input_files(path)
    expect(page.locator("#bundle-upload")).to_contain_text(path.stem[:8])
    page.locator("#bundle-merge").click()
    expect(page.locator("#bundle-note")).to_contain_text("This library already had everything in it.")
    path.write_bytes(b"no zip at all")
    page.locator("#bundle-upload input[type=file]").set_input_files(path)
    expect(page.locator("#bundle-upload")).to_contain_text(path.stem[:8])
    page.locator("#bundle-merge").click()
    steps.refused(page, "is damaged or not a zip file")


def test_the_start_says_where_things_are_kept(app: Any) -> None:
    assert f"Banks, labels and models are kept in “{app.cache}”." in app.log().splitlines()
