"""Audit: prompts are explored as a job that outlives the page, and what was found leads to its vector and its files."""

import json
import re
from pathlib import Path

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=hurt=1>${window.hurt=2}{{hurt}}<b>"
PROMPTS = [f"Where do rivers begin? {HOSTILE}", "Name a colour."]
WAIT = 600_000
CELLS = "rows => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.title))"


def fill_in(page: Page, prompts: str, **more: object) -> None:
    steps.tab(page, "Audit")
    if not steps.field(page, "audit-steps").is_visible():
        steps.unfold(page, "audit-settings")
    small = {"vectors": 2, "elsewhere": 2, "steps": 2, "relative": 0.15, "tokens": 5, "source": 7, "target": 9}
    for name, value in {"own": prompts, **small, **more}.items():
        steps.fill(page, f"audit-{name}", value)


def test_an_audit_outlives_a_reload_and_leads_to_a_vector_and_to_its_files(
    page: Page, faults: list[str], tmp_path: Path
) -> None:
    steps.tab(page, "Audit")
    page.locator("#audit-start").click()
    steps.refused(page, "Prompts: the field is empty")
    steps.fill(page, "audit-own", "Name a colour.\nName a colour.")
    page.locator("#audit-start").click()
    steps.refused(page, "Prompts: line 2 of the field repeats the prompt of line 1")
    file = tmp_path / "mine.jsonl"
    lines = [json.dumps({"prompt": one, "group": f"group {at}"}) for at, one in enumerate(PROMPTS)]
    file.write_text("\n".join(lines), "utf-8")
    with page.expect_file_chooser() as chooser:
        page.locator("#audit-upload").click()
    chooser.value.set_files(file)
    expect(steps.field(page, "audit-own")).to_have_value(file.read_text("utf-8"))
    steps.pick(page, "audit-clean", "my own")
    steps.fill(page, "audit-own-clean", "\n".join("abcdefghi"))
    fill_in(page, file.read_text("utf-8"))
    page.locator("#audit-start").click()
    steps.refused(page, "Clean: 9 different prompts are too few")
    steps.pick(page, "audit-clean", "none: nothing watches")

    steps.forget(page, "audit")
    page.locator("#audit-start").click()
    said = page.locator("#audit-said")
    expect(said).to_contain_text("2 presses of Explore, ", timeout=WAIT)
    steps.leave(page)
    page.reload()  # the room opens again, and follows the job
    expect(said).to_contain_text("2 presses of Explore, ", timeout=WAIT)
    expect(steps.progress(page, "audit")).to_have_text(re.compile("^2 prompts, "), timeout=WAIT)
    steps.wait_until_ready(page)
    faults[:] = [one for one in faults if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in one]  # the reload cut a connection
    expect(steps.field(page, "audit-own")).to_have_value(file.read_text("utf-8"))
    expect(said).to_contain_text("Watch was left out: no clean prompts were given.")
    prompts = page.locator("#audit-prompt-table tbody tr")
    expect(prompts).to_have_count(2)
    assert [one[1:3] for one in prompts.evaluate_all(CELLS)] == [[one, f"group {at}"] for at, one in enumerate(PROMPTS)]
    prompts.last.press("Enter")
    expect(page.locator("#audit-tried")).to_contain_text("Prompt 2: Name a colour.")
    rows = page.locator("#audit-table tr[data-key], #audit-others tr[data-key]")
    expect(rows).not_to_have_count(0)
    rows.first.press("Enter")
    details = page.locator("#audit-details")
    expect(details).to_contain_text("Without steering: ")
    key = int(rows.first.get_attribute("data-key") or "")
    with page.expect_download() as downloaded:
        page.locator("#audit-json").click()
    found = json.loads(Path(downloaded.value.path()).read_text("utf-8"))
    assert downloaded.value.suggested_filename == "audit.json"
    assert [one["prompt"]["user"] for one in found["prompts"]] == PROMPTS and found["sentence"] in said.inner_text()
    with page.expect_download() as downloaded:
        page.locator("#audit-html").click()
    assert downloaded.value.suggested_filename == "audit.html"
    report = Path(downloaded.value.path()).read_text("utf-8")
    assert "<script" not in report and "Where do rivers begin? &lt;img" in report
    expect(page.locator("#audit-command code")).to_contain_text("melbo_app audit --model")

    one = found["behaviours"][key]
    expect(details).to_contain_text(one["name"])
    page.locator("#audit-open").click()
    steps.expect_view(page, "Completions")
    expect(steps.completions(page, "vector")).to_have_count(1)
    expect(steps.field(page, "prompt")).to_have_value(PROMPTS[one["prompt"]])
    assert steps.chosen_vectors(page) == [str(one["representative"])]
    expect(steps.field(page, "bank")).to_have_value(one["bank"])

    steps.tab(page, "Jobs")
    page.locator("#job-table tr[data-key]").filter(has_text="Audit on 2 prompts").first.click()
    expect(page.locator("#job-open")).to_be_enabled()
    page.locator("#job-open").click()
    steps.expect_view(page, "Audit")
    expect(said).to_contain_text(found["sentence"])
    assert page.evaluate("window.hurt === undefined") and page.locator("img[src=x]").count() == 0

    fill_in(page, "\n".join([*lines, *(json.dumps({"prompt": f"What is {at} plus {at}?"}) for at in range(9))]))
    steps.forget(page, "audit")
    page.locator("#audit-start").click()
    expect(said).to_contain_text("2 of 11 prompts are done already. ", timeout=WAIT)
    expect(steps.progress(page, "audit")).to_contain_text("prompt 3 of 11: ", timeout=WAIT)
    page.locator("#audit-stop").click()
    ended = re.compile("^2 of 11 prompts, .*; press Audit to go on$")
    expect(steps.progress(page, "audit")).to_have_text(ended)
    states = [one[3:] for one in prompts.evaluate_all(CELLS)]
    assert states[2:] == [["not reached", "stopped before this prompt"]] * 9
    expect(page.locator("#audit-history input")).to_have_value(re.compile("11 prompts"))
    for name, value in (("own", ""), ("vectors", 8), ("elsewhere", 12), ("tokens", 40)):
        steps.fill(page, f"audit-{name}", value)
    for name in ("steps", "relative", "source", "target"):
        steps.fill(page, f"audit-{name}", "")
