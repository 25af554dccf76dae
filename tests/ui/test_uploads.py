"""Uploads that the server refuses: the page says why, and goes on when there is room."""

import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import steps
from playwright.sync_api import Page, expect

from melbo_app.library.uploads import OWN_FILES

pytestmark = pytest.mark.browser

# What the browser says of a refusal, and Gradio where it asks for the progress of an upload that has ended already.
BY_THEMSELVES = ("413", "/upload_progress", "in the console: Response (")
FIELDS = {
    "bank-upload": ("Banks", ".safetensors"),
    "bundle-upload": ("Library", ".zip"),
    "generality-upload": ("Generality", ".txt"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_refused_upload_says_why(page: Page, app: Any, faults: list[str], tmp_path: Path, field: str):
    tab, ending = FIELDS[field]
    uploads = app.cache / "uploads"
    _empty(uploads)
    waiting = [("files", (f"{number}.bin", bytes([number]))) for number in range(OWN_FILES)]
    httpx.post(f"{app.url}/gradio_api/upload", files=waiting).raise_for_status()
    (file := tmp_path / f"one more{ending}").write_bytes(b"one more prompt")
    steps.tab(page, tab)
    if field == "generality-upload":
        panel = page.locator("#generality-own-panel")
        expect(panel).to_be_visible()
        if not page.locator(f"#{field}").is_visible():
            panel.locator("button").first.click()
        expect(page.locator(f"#{field}")).to_be_visible()
        steps.settle(page)
    give(page, field, file)
    steps.refused(page, "upload: 30 files of this address wait to be used. Import or merge some of them, or wait")
    assert [fault for fault in faults if not any(word in fault for word in BY_THEMSELVES)] == []
    faults.clear()
    _empty(uploads)
    with page.expect_response(re.compile(r"/upload(\?|$)")) as taken:
        give(page, field, file.rename(tmp_path / f"another{ending}"))
    assert taken.value.status == 200
    expect(steps.messages(page)).to_have_count(0)
    faults[:] = [fault for fault in faults if not any(word in fault for word in BY_THEMSELVES)]


def give(page: Page, field: str, file: Path) -> None:
    """Choose a file as a person does."""
    if field == "generality-upload":  # a button
        with page.expect_file_chooser() as chooser:
            page.locator(f"#{field}").click()
        chooser.value.set_files(file)
    else:
        page.locator(f"#{field} input[type=file]").set_input_files(file)


def _empty(uploads: Path) -> None:
    for folder in uploads.glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
