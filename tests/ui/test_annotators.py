"""Several people label the same vectors: blind, each with a name, over a lost connection, by rules that run nothing."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = """# How we label
<script>window.ran = 1</script>

- **warm**: kind <img src=x onerror="window.ran = 2">
- [a link](javascript:window.ran=3), [another](https://example.org/)

![a cat](https://example.org/cat.png)
"""


def call(page: Page, name: str) -> None:
    """Give this browser's annotator a name, as a person does."""
    part = page.locator("#label-annotator")
    if part.locator("[data-action=change]").is_visible():
        part.locator("[data-action=change]").click()
    part.locator("input").fill(name)
    part.locator("[data-action=use]").click()


def at(page: Page, vector: int) -> None:
    page.locator(f'#label-table tr[data-key="{vector}"]').click()
    expect(page.locator("#label-of")).to_contain_text(f"Vector {vector} of")
    steps.settle(page)


def say(page: Page, name: str, rating: int, tag: str) -> None:
    steps.field(page, "label-name").fill(name)
    steps.field(page, "label-tags").fill(tag)
    steps.field(page, "label-tags").press("Enter")
    page.locator("#label-rating").get_by_label(str(rating), exact=True).check()
    page.locator("#label-save").click()
    expect(page.locator("#label-table")).to_contain_text(name)
    steps.settle(page)


def given(page: Page) -> list[str]:
    return page.locator("#label-given .mx-given-label").evaluate_all("cards => cards.map((card) => card.dataset.who)")


def test_two_people_label_blindly_and_a_third_settles(open_page, app) -> None:
    ada, bea = (open_page(app, elsewhere=True) for _ in range(2))
    for person, name in ((ada, "Ada"), (bea, "Bea")):
        steps.choose_bank(person, "who-are-you")
        steps.tab(person, "Labels")
        expect(person.locator("#label-annotator")).to_contain_text("Do several people label here?")
        call(person, name)
        expect(person.locator("#label-annotator")).to_contain_text(f"You label as {name}")
        at(person, 1)
    say(ada, "sounds like Ada’s", 5, "persona")
    assert given(ada) == []
    # nothing in Bea's page gives it away: not the cards, the table, the names, the history, or a search
    bea.locator("#label-next").click()
    steps.settle(bea)
    at(bea, 1)
    expect(bea.locator("#label-given")).to_contain_text("Somebody else has labelled this vector")
    bea.locator("#label-changes button").first.click()
    assert "Ada" not in bea.locator("body").inner_html()
    steps.tab(bea, "Library")
    steps.fill(bea, "library-text", "sounds like")
    bea.locator("#library-find").click()
    steps.settle(bea)
    expect(bea.locator("#library-table")).to_contain_text("Nothing contains this text")
    steps.tab(bea, "Labels")
    at(bea, 1)
    say(bea, "sounds like Bea’s", 2, "formal")
    assert given(bea) == ["Ada", "Bea"]
    expect(bea.locator('#vector-cards .mx-card[data-vector="1"]')).to_contain_text("sounds like Bea’s")
    expect(bea.locator("#label-history")).to_contain_text("sounds like Ada’s")
    at(ada, 2)
    at(ada, 1)
    assert given(ada) == ["Ada", "Bea"]
    expect(ada.locator('#vector-cards .mx-card[data-vector="1"]')).to_contain_text("sounds like Ada’s")
    # the queue of disagreements: one label is taken, changed and settled
    steps.pick(ada, "label-order", "disagreements, widest apart first")
    expect(ada.locator("#label-of")).to_contain_text("what counts for all")
    expect(ada.locator("#label-progress")).to_contain_text("1 to settle")
    ada.locator('#label-given [data-who="Bea"] [data-action=take]').click()
    expect(steps.field(ada, "label-name")).to_have_value("sounds like Bea’s")
    steps.field(ada, "label-name").fill("settled by both")
    steps.field(ada, "label-name").press("Enter")
    expect(ada.locator("#label-given .mx-given-settled")).to_contain_text("settled by both")
    expect(ada.locator("#label-progress")).to_contain_text("0 to settle")
    expect(ada.locator('#vector-cards .mx-card[data-vector="1"]')).to_contain_text("settled by both")
    ada.locator("#label-agreement button").first.click()
    expect(ada.locator("#label-agreement-lines")).to_contain_text("Labelled: Ada 1, Bea 1")
    expect(ada.locator("#label-agreement-lines")).to_contain_text("only one vector was rated by two people")
    steps.settle(ada)
    steps.reload(ada)  # the name is kept
    steps.tab(ada, "Labels")
    expect(ada.locator("#label-annotator")).to_contain_text("You label as Ada")
    steps.tab(ada, "Blind comparison")
    expect(ada.locator("#blind-annotator")).to_contain_text("You label as Ada")


def test_what_was_written_without_a_connection_is_not_lost(open_page, app, faults) -> None:
    page = open_page(app, elsewhere=True)
    steps.choose_bank(page, "who-are-you")
    steps.tab(page, "Labels")
    call(page, "Cleo")
    expect(page.locator("#label-annotator")).to_contain_text("You label as Cleo")
    at(page, 3)
    name, note = steps.field(page, "label-name"), steps.field(page, "label-note")
    name.fill("half a na")
    steps.leave(page)  # what the browser says of a connection that is cut is no fault
    page.context.set_offline(True)
    name.fill("half a name")
    note.fill("written in a tunnel")
    page.locator("#label-rating").get_by_label("4", exact=True).check()
    name.press("Enter")
    page.wait_for_timeout(1500)
    expect(name).to_have_value("half a name")
    page.context.set_offline(False)
    faults[:] = [one for one in faults if "ERR_INTERNET_DISCONNECTED" not in one]
    page.reload()
    steps.wait_until_ready(page)
    if not page.locator("#label-of").is_visible():
        steps.tab(page, "Labels")
    expect(name).to_have_value("half a name")
    expect(note).to_have_value("written in a tunnel")
    expect(page.locator("#label-rating").get_by_label("4", exact=True)).to_be_checked()
    expect(page.locator("#label-of")).to_contain_text("Vector 3 of “who-are-you”")
    page.locator("#label-save").click()
    expect(page.locator('#label-table tr[data-key="3"]')).to_contain_text("half a name")
    steps.settle(page)
    steps.reload(page)  # nothing is left to be given back
    steps.tab(page, "Labels")
    expect(page.locator("#label-of")).not_to_contain_text("Vector 3")
    # two windows of one person: the stale one is shown both versions, though it was reloaded in between
    other = page.context.new_page()
    other.add_init_script(path=steps.UNANSWERED)
    other.goto(app.url)
    steps.wait_until_ready(other)
    steps.tab(other, "Labels")
    for window in (page, other):
        at(window, 3)
    name.fill("from the first window")
    page.wait_for_timeout(300)
    steps.field(other, "label-name").fill("from the second window")
    steps.field(other, "label-name").press("Shift+Enter")
    expect(other.locator('#label-table tr[data-key="3"]')).to_contain_text("from the second window")
    steps.reload(page)
    steps.tab(page, "Labels")
    expect(name).to_have_value("from the first window")
    page.locator("#label-save").click()
    expect(page.locator("#label-clash .mx-clash")).to_contain_text("changed by Cleo")
    expect(page.locator("#label-clash .mx-clash")).to_contain_text("from the second window")
    page.locator("#label-clash [data-action=mine]").click()
    expect(page.locator('#label-table tr[data-key="3"]')).to_contain_text("from the first window")
    other.close()


def test_a_name_that_cannot_be_used_is_a_sentence(open_page, app) -> None:
    page = open_page(app, elsewhere=True)
    steps.tab(page, "Labels")
    for name, sentence in (
        ("x" * 10_000, "Your name: it is 10,000 characters long. At most 80 fit"),
        ("Ada\u202e", "has a character that cannot be seen (U+202E)"),
        ("A\u0007da", "has a character that cannot be seen (U+0007)"),
    ):
        call(page, name)
        steps.refused(page, sentence)
        expect(page.locator("#label-annotator")).to_contain_text("Do several people label here?")
    page.locator("#label-annotator [data-action=nameless]").click()
    expect(page.locator("#label-annotator")).to_contain_text("You label without a name")
    assert page.evaluate("document.cookie") == "melbo_annotator="


def test_guidelines_with_script_in_them_are_text(open_page, app) -> None:
    page = open_page(app, elsewhere=True)
    steps.tab(page, "Guidelines")
    steps.fill(page, "guidelines-text", HOSTILE)
    page.locator("#guidelines-save").click()
    expect(page.locator("#guidelines-standing")).to_contain_text("Saved")
    steps.settle(page)
    steps.tab(page, "Labels")
    page.locator("#label-guidelines button").first.click()
    for place in ("#label-guidelines-text", "#guidelines-view"):
        if place == "#guidelines-view":
            steps.tab(page, "Guidelines")
        shown = page.locator(place)
        expect(shown.locator("h1")).to_have_text("How we label")
        expect(shown).to_contain_text("<script>window.ran = 1</script>")
        expect(shown).to_contain_text('<img src=x onerror="window.ran = 2">')
        expect(shown.locator("strong")).to_have_text("warm")
        expect(shown.locator("a")).to_have_count(1)
        expect(shown.locator("a")).to_have_attribute("rel", "noopener noreferrer")
        expect(shown.locator("img, script")).to_have_count(0)
    assert page.evaluate("window.ran") is None
    other = open_page(app, elsewhere=True)
    steps.tab(other, "Guidelines")
    expect(steps.field(other, "guidelines-text")).to_have_value(re.compile("^# How we label"))
    steps.fill(other, "guidelines-text", "# Other rules")
    other.locator("#guidelines-save").click()
    expect(other.locator("#guidelines-view h1")).to_have_text("Other rules")
    steps.settle(other)
    steps.fill(page, "guidelines-text", "# Mine")
    page.locator("#guidelines-save").click()
    steps.refused(page, "Guidelines: they were changed meanwhile")
    expect(steps.field(page, "guidelines-text")).to_have_value("# Mine")
