"""Texts that the database does not take: they are shown, a line says so, and Save again stores them."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_texts_are_shown_while_the_database_is_held_and_saved_again_after_that(page: Page, app: Any) -> None:
    steps.choose_only(page, 0)
    steps.fill(page, "max-new-tokens", 5)
    line = page.locator("#not-kept")
    count = "SELECT count(*) FROM completions WHERE max_new_tokens = 5"  # other tests may write as many
    expect(line).to_be_hidden()
    with closing(sqlite3.connect(app.cache / "melbo.sqlite", isolation_level=None)) as held:
        [before] = held.execute(count).fetchone()
        held.execute("BEGIN IMMEDIATE")
        steps.press_steer(page)
        expect(steps.progress(page, "steer")).to_have_text("Done, not kept yet")
        assert len(steps.texts(page)) == 2 and all(steps.texts(page))
        expect(line).to_contain_text("Not kept yet: 2 texts. The database")
        expect(line).to_contain_text("in use by another program")
        held.execute("ROLLBACK")
    page.locator("#not-kept-save").click()
    expect(line).to_be_hidden()
    with closing(sqlite3.connect(app.cache / "melbo.sqlite")) as stored:
        assert stored.execute(count).fetchone() == (before + 2,)
