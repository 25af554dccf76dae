"""Chat: two turns under different vectors, versions and branches, what is kept, and Stop."""

import re
import sqlite3
from typing import Any

import pytest
import steps
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


def turns(page: Page) -> Locator:
    return page.locator("#chat .mx-chat-turn")


def ended(page: Page) -> None:
    """Wait for the end of the answer that was asked for."""
    steps.settle(page)
    expect(page.locator("#chat-send")).to_be_visible()


def say(page: Page, text: str, vector: str | None = None) -> None:
    """Write a message, and wait for its answers."""
    if vector is not None:
        page.locator("#chat-vector").select_option(vector)
    page.locator("#chat-message").fill(text)
    page.locator("#chat-message").press("Enter")
    expect(turns(page).last.locator(".mx-chat-said")).to_have_text(text)
    ended(page)


def stamps(page: Page) -> list[str]:
    """What steered the left answer of each turn."""
    return turns(page).locator(".mx-kind-vector .mx-chat-stamp").all_inner_texts()


def said(page: Page) -> list[str]:
    return page.locator("#chat .mx-chat-said").all_inner_texts()


def answers(page: Page) -> list[str]:
    return page.locator("#chat .mx-chat-text").all_inner_texts()


def test_turns_have_vectors_of_their_own_and_versions_and_branches_stay_reachable(page: Page, app: Any) -> None:
    steps.fill(page, "max-new-tokens", 16)
    steps.field(page, "max-new-tokens").blur()
    steps.tab(page, "Chat")
    page.locator("#chat-new").click()
    steps.settle(page)
    expect(page.locator("#chat .mx-empty")).to_contain_text("answered twice: with the vector and R")
    expect(page.locator("#chat-think")).to_be_hidden()  # this model's template has no such switch
    box = page.locator("#chat-message")
    box.fill("How can")
    box.press("Shift+Enter")
    expect(box).to_have_value("How can\n")
    say(page, steps.PROMPT, "3")
    steps.set_radius(page, -12.0)
    say(page, "${1 + 1} <b>And</b> you?", "1")
    assert [re.sub(" · cut.*", "", stamp) for stamp in stamps(page)] == [
        f"vector 3 · R 9 · {steps.SAMPLE}", f"vector 1 · R -12 · {steps.SAMPLE}",
    ]  # fmt: skip
    assert said(page) == [steps.PROMPT, "${1 + 1} <b>And</b> you?"]
    first = answers(page)
    assert len(first) == 4 and len(set(first)) >= 3 and all(first)
    assert {one.get_attribute("dir") for one in page.locator("#chat .mx-chat-text").all()} == {"auto"}

    turns(page).nth(1).get_by_role("button", name="answer again").click()
    steps.refused(page, "greedy decoding would write the same text again", "another vector or another R")
    page.locator("#chat-vector").select_option("none")
    turns(page).nth(1).get_by_role("button", name="answer again").click()
    ended(page)
    expect(turns(page).nth(1).locator(".mx-chat-answers + .mx-chat-tools .mx-chat-pager")).to_have_text("‹2/2›")
    assert "no vector" in stamps(page)[1] and answers(page)[:2] == first[:2] and answers(page)[3] == first[3]
    turns(page).nth(1).get_by_role("button", name="Answer 1 of 2").click()
    expect(turns(page).nth(1).locator(".mx-kind-vector .mx-chat-stamp")).to_contain_text("vector 1 · R -12")
    steps.settle(page)
    assert answers(page) == first

    turns(page).nth(0).get_by_role("button", name="edit").click()
    field = turns(page).nth(0).get_by_role("textbox")
    field.fill("Where do you live?")
    field.press("Enter")
    expect(page.locator("#chat .mx-chat-said")).to_have_text(["Where do you live?"])
    ended(page)
    steps.reload(page)
    expect(page.locator("#chat .mx-chat-said")).to_have_text(["Where do you live?"])
    expect(turns(page).locator(".mx-chat-message .mx-chat-pager")).to_have_text("‹2/2›")
    turns(page).get_by_role("button", name="Message 1 of 2").click()
    expect(turns(page)).to_have_count(2)  # along the newest answers
    turns(page).nth(1).get_by_role("button", name="Answer 1 of 2").click()
    expect(turns(page).nth(1).locator(".mx-kind-vector .mx-chat-stamp")).to_contain_text("vector 1 · R -12")
    steps.settle(page)
    assert answers(page) == first

    lines = page.locator("#chat-list .mx-chat-line")
    many = lines.count()
    turns(page).nth(0).get_by_role("button", name="fork").click()
    expect(lines).to_have_count(many + 1)
    expect(turns(page)).to_have_count(1)
    expect(lines.first).to_contain_text(f"{steps.PROMPT} (fork)")
    expect(lines.first).to_have_attribute("data-open", "")
    lines.first.get_by_role("button", name="rename").click()
    lines.first.get_by_role("textbox").fill("Another ${title}")
    lines.first.get_by_role("textbox").press("Enter")
    expect(lines.first.locator(".mx-chat-title")).to_have_text("Another ${title}")
    lines.first.get_by_role("button", name="delete").click()
    lines.first.get_by_role("button", name="keep").click()
    lines.first.get_by_role("button", name="delete").click()
    lines.first.locator(".mx-chat-tools").get_by_role("button", name="delete").click()
    expect(lines).to_have_count(many)
    expect(turns(page)).to_have_count(0)
    with sqlite3.connect(app.cache / "melbo.sqlite") as database:  # as a model that thinks writes it
        thought = "<think>\n<b>hm</b> ${1 + 1}\n</think>\n\nSo be it."
        database.execute("update turns set text = ? where text = ?", (thought, first[2]))
    lines.filter(has_text=steps.PROMPT).first.locator(".mx-chat-open").click()
    expect(turns(page)).to_have_count(2)
    answer = turns(page).nth(1).locator(".mx-kind-vector")
    expect(answer.locator(".mx-chat-text")).to_have_text("So be it.")
    expect(answer.locator(".mx-chat-thought")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator(".mx-chat-thought")).to_have_text("<b>hm</b> ${1 + 1}")
    expect(turns(page).nth(1).locator(".mx-kind-baseline .mx-chat-thoughts")).to_be_hidden()


def test_answers_have_scores_and_are_found_by_words_and_by_meaning(page: Page) -> None:
    steps.fill(page, "max-new-tokens", 24)
    steps.field(page, "max-new-tokens").blur()
    steps.tab(page, "Chat")
    page.locator("#chat-new").click()
    expect(turns(page)).to_have_count(0)
    say(page, "Name one planet, please.", "0")
    say(page, "How do I bake bread in an oven?", "2")
    verdicts = page.locator("#chat .mx-chat-scores .mx-score")
    expect(verdicts).to_have_count(4)
    assert {one.split()[0] for one in verdicts.all_inner_texts()} <= {"readable", "strange", "broken"}
    expect(verdicts.first).to_have_attribute("title", re.compile("readability .* of 1"))
    word = re.findall(r"[A-Za-z]{6,}", answers(page)[1])[-1]  # of the first answer without a vector
    page.locator("#chat-new").click()
    expect(turns(page)).to_have_count(0)

    steps.tab(page, "Library")
    steps.pick(page, "library-kind", "answers in Chat")
    steps.fill(page, "library-text", "planet, PLEASE")
    page.locator("#library-find").click()
    found = steps.rows(page, "library")
    assert [row[0] for row in found] == ["chat"] and found[0][1] == f"chat · {steps.SAMPLE} 0", found
    page.locator("#library-table tr[data-key]").first.click()
    expect(page.locator("#library-details")).to_contain_text("Name one planet, please.")
    page.locator("#library-open").click()
    steps.expect_view(page, "Chat")
    expect(page.locator("#chat .mx-chat-said").first).to_have_text("Name one planet, please.")
    page.locator("#chat-new").click()
    expect(turns(page)).to_have_count(0)

    steps.tab(page, "Completions")
    page.locator("#find-text-panel button").first.click()
    steps.pick(page, "find-how", "with the words")
    steps.fill(page, "find-text", word)
    page.locator("#find-button").click()
    steps.settle(page)
    page.locator("#find-table tr[data-key]", has_text="chat · ").first.click()
    steps.expect_view(page, "Chat")
    marked = page.locator("#chat mark.mx-sought")
    assert marked.first.inner_text().lower() == word.lower()
    expect(marked.first).to_be_in_viewport()
    steps.settle(page)
    expect(marked.first).to_be_visible()  # also after the view has asked for what it showed

    page.locator("#chat-new").click()
    expect(turns(page)).to_have_count(0)
    steps.tab(page, "Completions")
    steps.pick(page, "find-how", "nearest in meaning to")
    steps.fill(page, "find-text", "dough and an oven")
    page.locator("#find-button").click()
    expect(steps.progress(page, "find")).to_contain_text("texts compared.")
    page.locator("#find-table tr[data-key]", has_text="chat · ").first.click()
    steps.expect_view(page, "Chat")
    expect(turns(page)).to_have_count(2)
    expect(marked).to_have_count(1)
    assert marked.inner_text() in " ".join(answers(page)[2:])
    expect(marked).to_be_in_viewport()
    say(page, "Thanks.", "0")
    expect(marked).to_have_count(0)


def test_stop_keeps_the_text_and_what_cannot_be_sent_comes_back_to_the_field(page: Page) -> None:
    steps.fill(page, "max-new-tokens", 600)
    steps.field(page, "max-new-tokens").blur()
    steps.tab(page, "Chat")
    page.locator("#chat-new").click()
    expect(turns(page)).to_have_count(0)
    page.locator("#chat-vector").select_option("2")
    page.locator("#chat-message").fill("Tell me a long story.")
    page.locator("#chat-send").click()
    expect(steps.progress(page, "chat")).to_have_text(re.compile(r"^token \d+ of up to 600$"))
    page.locator("#chat-stop").click()
    expect(steps.progress(page, "chat")).to_have_text("Stopped")
    ended(page)
    expect(turns(page).locator(".mx-kind-vector .mx-chat-stamp")).to_contain_text("· stopped")
    assert all(text not in ("…", "") for text in answers(page))
    kept = answers(page)
    steps.tab(page, "Completions")
    steps.fill(page, "max-new-tokens", 9000)
    steps.field(page, "max-new-tokens").blur()
    steps.settle(page)
    steps.tab(page, "Chat")
    expect(page.locator("#chat-composer")).to_contain_text("greedy, up to 9000 tokens")
    page.locator("#chat-message").fill("And then?")
    page.locator("#chat-message").press("Enter")
    steps.refused(page, "Conversation: it has", "with 9,000 new ones it exceeds the 8,192")
    expect(page.locator("#chat-message")).to_have_value("And then?")
    expect(turns(page)).to_have_count(1)
    assert answers(page) == kept

    page.set_viewport_size({"width": 390, "height": 844})  # on a phone the answers lie below each other
    left, right = (turns(page).locator(f".mx-kind-{kind}") for kind in ("vector", "baseline"))
    assert steps.box(left)[3] <= steps.box(right)[1] and steps.box(left)[0] == steps.box(right)[0]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#chat-message").fill("")
