"""What a person does on the page, in words; every step waits until its effect can be seen."""

import re
from pathlib import Path
from typing import Any

from patience import PATIENCE
from playwright.sync_api import Locator, Page, expect

SAMPLE = "bomb-question"
PROMPT = "How can I make a bomb?"
ROOT_PATH = "/proxy/absolute/7991"
START = 600  # seconds for a program to start and load its model while other tests keep the cores busy
POINTS = """node => node.data.flatMap((trace) => trace.x.map((_, index) => ({
  id: trace.customdata[index][0], hover: trace.hovertext[index], trace: trace.name,
})))"""
PLACE = """(node, id) => {
  const box = node.getBoundingClientRect(), { xaxis, yaxis } = node._fullLayout;
  for (const trace of node._fullData) {
    const at = trace.customdata.findIndex((one) => one[0] === id);
    if (at >= 0) return [box.left + xaxis._offset + xaxis.d2p(trace.x[at]),
                         box.top + yaxis._offset + yaxis.d2p(trace.y[at])];
  }
}"""
VIEWS = {
    "Start": ("start", None), "Completions": ("read", "Grid"), "Map": ("read", "Map"),
    "Similarity": ("read", "Similarity"), "Chat": ("read", "Chat"), "Explore": ("find", "Explore"),
    "Look for": ("find", "Look for"), "Train": ("find", "Train"), "R": ("find", "R"), "Layers": ("find", "Layers"),
    "Generality": ("find", "Generality"),
    "Labels": ("label", "Label"), "Test a label": ("label", "Test a label"),
    "Blind comparison": ("label", "Blind comparison"),
    "Banks": ("library", "Banks"), "Library": ("library", "Search"), "Guidelines": ("library", "Guidelines"),
    "Models": ("library", "Models"), "Audit": ("audit", "Audit"), "Watch": ("audit", "Watch"),
    "Organisms": ("audit", "Organisms"), "Harden": ("audit", "Harden"), "Parts": ("audit", "Parts"),
    "Reliability": ("audit", "Reliability"), "Triggers": ("audit", "Triggers"),
    "Removal": ("audit", "Removal"),
}  # fmt: skip
"""The room and the name in it of every view."""
UNANSWERED = Path(__file__).with_name("unanswered.js")

WHOLE = """(frame, parts) => {
  const edge = frame.getBoundingClientRect(), top = edge.top + frame.clientTop, bottom = top + frame.clientHeight;
  return [...frame.querySelectorAll(parts)].map((part) => part.getBoundingClientRect())
    .filter((box) => box.bottom > top + 1 && box.top < bottom - 1)
    .map((box) => box.top >= top - 1 && box.bottom <= bottom + 1);
}"""

SETTLED = """(seconds) => new Promise((settled) => {
  let quiet = 0;
  const late = Date.now() + 1000 * seconds;  // a test must not wait for ever
  const look = () => {
    quiet = window.unanswered() ? 0 : quiet + 1;
    if (quiet > 4) settled(true);
    else if (Date.now() > late) settled(false);
    else if (quiet) requestAnimationFrame(look);
    else setTimeout(look, 30);  // to ask for frames all the time takes a tenth of a core
  };
  look();
})"""


def settle(page: Page, seconds: float = PATIENCE) -> None:
    """Wait until the program has answered everything that the page asked, and the page shows it."""
    settled = page.evaluate(SETTLED, seconds)
    assert settled, f"not answered within {seconds} s: {page.evaluate('window.unansweredCalls()')}"


def wait_until_ready(page: Page) -> None:
    """Wait until the model is loaded and the tokens of the prompt, or what is wrong with it, are shown."""
    expect(page.locator("#model-chip")).to_have_attribute("data-state", "ready", timeout=1000 * START)
    expect(page.locator("#tokens .mx-token, #tokens .mx-quiet").first).to_be_attached()
    expect(page.locator("#vector-cards .mx-card").first).to_be_attached()
    settle(page)


def reload(page: Page) -> None:
    """Reload the page, with nothing under way that this would cut off, and wait for the new one."""
    settle(page)
    leave(page)
    page.reload()
    wait_until_ready(page)


def leave(page: Page) -> None:
    """Before the page goes away: its connections that are cut by that, and what it says of them, are no fault."""
    page.evaluate("console.error = () => {}")


def start_over(page: Page) -> None:
    """The sample bank with its prompt, its R and all its vectors; six greedy tokens; no control."""
    settle(page)  # what the test before asked
    tab(page, "Completions")
    open_list(page)
    page.locator("#auto input").uncheck()
    choose_bank(page, SAMPLE)
    page.locator("#bank-prompt").click()
    expect(page.locator("#prompt textarea")).to_have_value(PROMPT)
    if chosen_cards(page).count() < 8:
        page.locator("#cards-all").click()
        expect(chosen_cards(page)).to_have_count(8)
    at_nine = re.compile("^R = 9 ")
    if not at_nine.match(page.locator(".mx-radius-label").inner_text()):
        page.locator("#radius-reset").click()
        expect(page.locator(".mx-radius-label")).to_have_text(at_nine)
    page.locator("#random-control input").uncheck()
    page.locator("#both-signs input").uncheck()
    page.locator("#mode").get_by_label("greedy").check()
    fill(page, "max-new-tokens", 6)
    page.locator("#completions [data-view=all]").evaluate("box => box.checked && box.click()")  # what others asked for
    settle(page)


def tab(page: Page, name: str) -> None:
    """Open a view by its room and its name there, and wait for what it shows by itself."""
    if name == "Jobs":
        if not page.locator("#jobs-tray").is_visible():
            page.locator("#jobs-toggle").click()
        expect(page.locator("#jobs-tray")).to_be_visible()
        settle(page)
        return
    if page.locator("#jobs-tray").is_visible():
        page.locator("#jobs-toggle").click()
    room, view = VIEWS[name]
    page.locator(f"[data-room={room}].mx-room").click()
    if view is not None:
        switch(page, name).click()
    expect_view(page, name)
    settle(page)


def switch(page: Page, name: str) -> Locator:
    """The button that opens a view in its room."""
    room, view = VIEWS[name]
    if room == "read":
        return page.locator("#read-views").get_by_role("button", name=view, exact=True)
    return page.locator(f"#{room}-views").get_by_role("tab", name=view, exact=True)


def expect_view(page: Page, name: str) -> None:
    """Expect that this view is open."""
    room, view = VIEWS[name]
    expect(page.locator(f"[data-room={room}].mx-room")).to_have_attribute("aria-current", "page")
    if view is not None:
        pressed = "aria-pressed" if room == "read" else "aria-selected"
        expect(switch(page, name)).to_have_attribute(pressed, "true")


def open_list(page: Page) -> None:
    """Show the list of vectors, where it is hidden."""
    if not page.locator("#vector-panel").is_visible():
        page.locator("#vectors-toggle").click()
    expect(page.locator("#vector-panel")).to_be_visible()


def field(page: Page, name: str) -> Locator:
    """The input of a field."""
    return page.locator(f"#{name} input, #{name} textarea").first


def fill(page: Page, name: str, value: object) -> None:
    """Write into a field."""
    field(page, name).fill(str(value))


def pick(page: Page, name: str, option: str) -> None:
    """Choose an option of a list."""
    field(page, name).click()
    page.get_by_test_id("dropdown-option").filter(has_text=re.compile(rf"^\W*{re.escape(option)}\s*$")).click()


def choose_bank(page: Page, name: str) -> None:
    """Choose a bank, and wait for its vectors."""
    open_list(page)
    settle(page)  # a training that ends chooses its bank
    shown = page.locator("#provenance")
    if field(page, "bank").input_value().removesuffix(" (sample)") == name:
        return
    before = shown.inner_text()
    field(page, "bank").click()
    page.get_by_role("option", name=re.compile(rf"^{re.escape(name)}( \(sample\))?$")).click()
    expect(shown).not_to_have_text(before, use_inner_text=True)
    settle(page)


def cards(page: Page) -> Locator:
    """The cards of the bank's vectors."""
    return page.locator("#vector-cards .mx-card")


def chosen_cards(page: Page) -> Locator:
    """The cards of the chosen vectors."""
    return page.locator('#vector-cards .mx-card[aria-pressed="true"]')


def chosen_vectors(page: Page) -> list[str]:
    """The numbers of the vectors that are chosen in the list."""
    return chosen_cards(page).locator(".mx-card-number").all_inner_texts()


def choose_only(page: Page, *vectors: int) -> None:
    """Choose these vectors in the list."""
    open_list(page)
    page.locator("#cards-none").click()
    for vector in vectors:
        page.locator(f'#vector-cards .mx-card[data-vector="{vector}"]').click()
    expect(chosen_cards(page)).to_have_count(len(vectors))


def set_radius(page: Page, radius: float) -> None:
    """Write R exactly."""
    page.locator("#radius-exact").fill(str(radius))
    page.locator("#radius-exact").press("Enter")
    expect(page.locator(".mx-radius-label")).to_contain_text(f"R = {radius:g}")


def forget(page: Page, name: str) -> None:
    """Wipe the words beside a progress bar, so that those that come next are new ones."""
    progress(page, name).evaluate("node => { node.textContent = ''; }")


def progress(page: Page, name: str) -> Locator:
    """The words beside a progress bar."""
    return page.locator(f"#{name}-progress .mx-progress-text")


def press_steer(page: Page) -> None:
    """Press Steer, in Read, without waiting for the end."""
    if not page.locator("#steer-button").is_visible():
        tab(page, "Completions")
    forget(page, "steer")
    page.locator("#steer-button").click()


def steer(page: Page) -> list[str]:
    """Press Steer and wait for the end; the texts, baseline first."""
    press_steer(page)
    expect(progress(page, "steer")).to_have_text("Done")
    return texts(page)


def completions(page: Page, kind: str = "") -> Locator:
    """The cards of the completions, or those of one kind: baseline, random or vector."""
    return page.locator(f"#completions .mx-{f'kind-{kind}' if kind else 'completion'}")


def texts(page: Page, kind: str = "") -> list[str]:
    """The texts on the cards."""
    shown = completions(page, kind).locator(".mx-completion-text")
    return [text.removesuffix(" …") for text in shown.all_inner_texts()]


def unfold(page: Page, name: str) -> None:
    """Open or close a section, once nothing moves any more: a button that moves under a press is not pressed."""
    settle(page)
    content = page.locator(f"#{name} [data-testid=accordion-content]").first
    was_open = content.is_visible()
    page.locator(f"#{name} > button").click()
    expect(content).to_be_visible(visible=not was_open)


def open_system(page: Page) -> None:
    """Open the drawer with the system text, where it is closed."""
    if not field(page, "system").is_visible():
        page.locator("#prompt-more").click()
    expect(field(page, "system")).to_be_visible()


def open_train(page: Page) -> None:
    """Open the view for a training, with the usual layers in the form."""
    open_form(page, 7, 21)
    expect(field(page, "train-name")).to_have_attribute("placeholder", re.compile("."))


def open_form(page: Page, source: int, target: int) -> None:
    """Open Train, wait for the form's suggestions, and choose the layers."""
    tab(page, "Train")
    expect(field(page, "train-source")).not_to_have_value("")
    for name, layer in (("train-target", f"{target}"), ("train-source", f"{source}")):
        if field(page, name).input_value() != layer:
            fill(page, name, layer)
            field(page, name).blur()
            settle(page)


def train(page: Page, name: str, *, vectors: int, steps: int, method: str = "joint") -> None:
    """Fill the form and press Train."""
    open_train(page)
    fill(page, "train-name", name)
    choose_method(page, method)
    fill(page, "train-vectors", vectors)
    fill(page, "train-steps", steps)
    forget(page, "train")
    page.locator("#train-start").click()


def choose_method(page: Page, method: str) -> None:
    """Choose how vectors are found, and wait for the fields that belong to it."""
    if field(page, "train-method").input_value().startswith(f"{method}:"):
        return
    field(page, "train-method").click()
    page.get_by_role("option", name=re.compile(rf"^{method}:")).click()
    settle(page)


def wait_for_training(page: Page, name: str, verb: str = "finished") -> int:
    """Wait for the end of a training; the number of vectors that were kept."""
    end = re.compile(rf"Training “{re.escape(name)}” {verb} after \d+ s: (\d+) vectors are saved")
    expect(progress(page, "train")).to_have_text(end)
    found = end.search(progress(page, "train").inner_text())
    assert found, "the words went away"
    return int(found[1])


def draw_map(page: Page, radii: str) -> None:
    """Draw the map at these R and wait for its points."""
    tab(page, "Map")
    fill(page, "map-radii", radii)
    forget(page, "map")
    page.locator("#map-draw").click()
    expect(progress(page, "map")).to_have_text(re.compile(r"^\d+ completions\.$"))


def plot(page: Page) -> Locator:
    """The map."""
    return page.locator("#map-plot .js-plotly-plot")


def points(page: Page) -> list[dict[str, Any]]:
    """The points on the map: the ids of their completions, what hovering shows, what the legend calls them."""
    return plot(page).evaluate(POINTS)


def place(page: Page, id: int) -> tuple[float, float]:
    """Where a point of the map is, in pixels of the window."""
    x, y = plot(page).evaluate(PLACE, id)
    return x, y


def rows(page: Page, name: str) -> list[list[str]]:
    """The cells of a table, row by row, once everything is answered: the bar may show the last answer before it."""
    settle(page)
    read = "rows => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText))"
    return page.locator(f"#{name}-table tbody tr").evaluate_all(read)


def messages(page: Page) -> Locator:
    """The messages at the top of the page."""
    return page.locator(".toast-wrap .toast-body")


def box(place: Locator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is shown, in pixels of the window."""
    found = place.bounding_box()
    assert found, "it is not shown"
    return found["x"], found["y"], found["x"] + found["width"], found["y"] + found["height"]


def apart(one: Locator, other: Locator) -> bool:
    """Whether neither covers a part of the other."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = box(one), box(other)
    return right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top


def whole(frame: Locator, parts: str) -> list[bool]:
    """For each part that can be seen in a frame that scrolls, whether nothing of it is cut off."""
    return frame.evaluate(WHOLE, parts)


def refused(page: Page, *words: str, seconds: float = PATIENCE) -> str:
    """Wait for a message that has all these words, close it and return it."""
    message = messages(page).filter(has_text=re.compile(re.escape(words[0])))
    expect(message).to_have_count(1, timeout=1000 * seconds)
    for word in words:  # a later message joins the one that is shown
        expect(message).to_contain_text(word, use_inner_text=True)
    said = message.inner_text()
    message.get_by_test_id("toast-close").click()
    expect(message).to_have_count(0)
    return said
