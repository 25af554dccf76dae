"""Labels leave as files and come back; a file with a mistake changes nothing and is answered line by line."""

import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def bring(page: Page, path: Path) -> str:
    """Import a file; what the page says of it."""
    note = page.locator("#labels-import-note")
    before = note.text_content() or "nothing yet"
    with page.expect_file_chooser() as chosen:
        page.locator("#labels-import").click()
    chosen.value.set_files(path)
    expect(note).not_to_have_text(before)
    expect(note).to_contain_text(f"“{path.name}”" if path.stem == "wrong" else "Labels of", use_inner_text=True)
    steps.settle(page)
    return note.inner_text()


def cells(page: Page, vector: int) -> list[str]:
    return page.locator(f'#label-table tr[data-key="{vector}"] td').all_inner_texts()


def test_an_export_that_a_spreadsheet_saved_is_imported_and_wrong_lines_are_named(page: Page, tmp_path: Path) -> None:
    steps.choose_bank(page, "who-are-you")
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="7"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 7")
    steps.settle(page)
    name = steps.field(page, "label-name")
    before = cells(page, 7)[1:5]
    name.fill("=exported()")
    page.locator("#label-save").click()
    expect(page.locator('#label-table tr[data-key="7"]')).to_contain_text("=exported()")
    steps.settle(page)
    with page.expect_download() as caught:
        page.locator("#labels-csv").click()
    out = tmp_path / "labels.csv"
    caught.value.save_as(out)
    assert "'=exported()" in out.read_text("utf-8")
    said = bring(page, out)
    assert re.search(r"Labels of “who-are-you”: 0 new, 0 changed, [1-9]\d* the same as before\.", said)
    assert "Of another bank, “" in said

    out.write_text(out.read_text("utf-8").replace("'=exported()", "edited elsewhere"), "utf-8")
    assert "0 new, 1 changed, " in bring(page, out)
    expect(name).to_have_value("edited elsewhere")
    expect(page.locator('#vector-cards .mx-card[data-vector="7"]')).to_contain_text("edited elsewhere")

    wrong = tmp_path / "wrong.csv"
    wrong.write_text("vector;name;rating\n7;late;\n99;nobody;\n6;six;9\n5;<b>five</b>;5\n", "utf-8")
    said = bring(page, wrong)
    for sentence in (
        "Line 2, name: vector 7 says “edited elsewhere” here, since",
        "Line 3, vector: “who-are-you” has no vector 99. It has 0 to 7.",
        "Line 4, rating: 9 cannot be used.",
    ):
        assert sentence in said
    shown = [cells(page, vector)[1] for vector in (5, 7)]
    assert shown[0] != "<b>five</b>" and shown[1] == "edited elsewhere"
    right = wrong.rename(tmp_path / "right.csv")
    page.locator("#labels-replace input").check()
    page.locator("#labels-partly input").check()
    said = bring(page, right)
    assert "Left out: Line 3, vector" in said and "Left out: Line 4, rating" in said and "Line 2" not in said
    assert [cells(page, vector)[1] for vector in (5, 7)] == ["<b>five</b>", "late"]
    name.fill(before[0])  # other tests find what they expect
    page.locator("#label-save").click()
    steps.settle(page)
