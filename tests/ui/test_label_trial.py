"""Test a label: nothing tells the texts apart before the end, keys answer, and the result stands beside the label."""

import re
from datetime import UTC, datetime

import pytest
import steps
from playwright.sync_api import Page, expect

from melbo_app.analysis.auroc import auroc
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.label_readings import LabelReading, LabelReadingFiles, ReadText
from melbo_app.library.suggested_labels import SuggestedLabel, SuggestedLabelFiles

pytestmark = pytest.mark.browser
BANK = "who-are-you"
ASKED = PromptRecord(user="Who are you?")


def suggested(bank: Bank) -> SuggestedLabel:
    """By a small model, and not confirmed by its reader."""
    return SuggestedLabel(
        vector=4, name="speaks in riddles", writer="small", reader="embedder", auroc=0.4, low=0.2, high=0.6, others=(),
        unseen=12, radius=bank.norms[4], prompt=ASKED, temperature=0.8, max_new_tokens=40, first_seed=0,
        created=datetime.now(UTC), parameter_count=10**8,
    )  # fmt: skip


def confirmed(bank: Bank) -> LabelReading:
    texts = tuple(ReadText(text="…", steered=one, fits=5 if one else 1) for one in (True, False))
    return LabelReading(
        vector=4, name="speaks in riddles", who="Dora", texts=texts, auroc=0.93, low=0.78, high=0.98, first_seed=4,
        radius=bank.norms[4], prompt=ASKED, temperature=0.8, max_new_tokens=40, created=datetime.now(UTC),
    )  # fmt: skip


def at(page: Page, vector: int) -> None:
    page.locator(f'#label-table tr[data-key="{vector}"]').click()
    expect(page.locator("#label-of")).to_contain_text(f"Vector {vector} of")
    steps.settle(page)


def test_a_person_reads_a_label(open_page, app) -> None:
    page = open_page(app, elsewhere=True)
    steps.choose_bank(page, BANK)
    bank = Bank.from_bytes(next(app.assets.rglob(f"{BANK}.safetensors")).read_bytes())
    SuggestedLabelFiles(app.cache / "suggestions").add(bank.record.model_hash, bank.hash, suggested(bank))
    steps.tab(page, "Labels")
    at(page, 4)
    expect(page.locator("#label-suggestion .mx-name")).to_have_count(0)
    page.locator("#label-test").click()
    steps.expect_view(page, "Test a label")
    steps.settle(page)
    table, view = page.locator("#trial-table"), page.locator("#trial-view")
    expect(table.locator("tr[aria-selected=true] td").first).to_have_text("4")
    hidden = table.locator("tr").filter(has_text="speaks in riddles")
    expect(hidden).to_contain_text("suggested, not shown")
    expect(hidden).to_contain_text("0.40 (0.20 to 0.60)")
    hidden.click()
    expect(view.locator(".mx-trial-name")).to_have_text("“speaks in riddles”")
    page.locator("#trial-start").click()
    count = view.locator("[role=status]").first
    expect(count).to_have_text("Text 1 of 24", timeout=600_000)
    assert not re.search(r"steered|mx-kind-|data-vector|title=", view.inner_html())
    first = view.locator(".mx-blind-text").inner_text()
    page.locator("#trial-how").click()
    page.keyboard.press("9")
    expect(count).to_have_text("Text 1 of 24")
    page.keyboard.press("5")
    expect(count).to_have_text("Text 2 of 24")
    page.keyboard.press("Backspace")
    expect(view.locator(".mx-blind-text")).to_have_text(first, use_inner_text=True)
    view.locator("[data-fits='4']").click()
    given = [4, *(1 + place * 7 % 5 for place in range(23))]
    for fit in given[1:]:
        page.keyboard.press(str(fit))
    groups = view.locator(".mx-trial-group")
    expect(groups).to_have_count(2)
    said = [
        [int(words.split(":")[0]) for words in groups.nth(place).locator(".mx-completion-head").all_inner_texts()]
        for place in (0, 1)
    ]
    assert sorted(said[0] + said[1]) == sorted(given) and len(said[0]) == 12
    area = f"AUROC of {auroc(*said):.2f} ("
    expect(view.locator(".mx-trial-result")).to_contain_text(area)
    steps.settle(page)
    expect(hidden).to_contain_text(area.removeprefix("AUROC of "))
    assert first in groups.all_inner_texts()[0] + groups.all_inner_texts()[1]
    [kept] = LabelReadingFiles(app.cache / "readings").of_bank(bank.hash)
    assert [one.fits for one in kept.texts] == given and kept.texts[0].text.strip() == first

    LabelReadingFiles(app.cache / "readings").add(bank.record.model_hash, bank.hash, confirmed(bank))
    steps.tab(page, "Labels")  # what a person could use is shown, whatever the model's reader says
    at(page, 3)
    at(page, 4)
    line = page.locator("#label-suggestion")
    expect(line).to_contain_text("Dora 0.93 (0.78 to 0.98)")
    expect(line).to_contain_text("embedder 0.40 (0.20 to 0.60)")
    before = steps.field(page, "label-name").input_value()
    line.locator(".mx-name").click()
    expect(steps.field(page, "label-name")).to_have_value("speaks in riddles")
    page.locator("#label-save").click()
    expect(page.locator("#label-read")).to_contain_text("Dora told 1 texts of the vector from 1 of random vectors")
    page.locator("#label-undo").click()
    expect(steps.field(page, "label-name")).to_have_value(before)
    steps.settle(page)
