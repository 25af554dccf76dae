"""Steering: what a person sees between Prompt and Completions."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_baseline_and_eight_different_texts_with_marks(page: Page) -> None:
    steps.fill(page, "max-new-tokens", 12)
    texts = steps.steer(page)
    assert len(texts) == 9
    assert len(set(texts)) >= 5
    expect(steps.completions(page).first).to_contain_text("Baseline")
    expect(steps.completions(page, "baseline").locator("mark")).to_have_count(0)
    for card in steps.completions(page, "vector").all():
        if card.locator(".mx-completion-text").inner_text().removesuffix(" …") != texts[0]:
            assert card.locator("mark").count() > 0


def test_texts_stream_and_stop_keeps_what_there_is(page: Page) -> None:
    steps.fill(page, "prompt", "Tell me everything about the sea and its animals.")
    steps.fill(page, "max-new-tokens", 600)
    steps.press_steer(page)
    live = page.locator("#completions .mx-kind-vector[data-mark=live] .mx-completion-text")
    expect(live.first).to_have_text(re.compile(r"\w+ \w+ \w+"))
    early = steps.texts(page)
    page.locator("#steer-stop").click()
    expect(steps.progress(page, "steer")).to_have_text("Stopped")
    late = steps.texts(page)
    assert len(late) == 9
    assert all(new.startswith(old.removesuffix("▍")[:20]) for old, new in zip(early, late, strict=True))
    expect(page.locator("#completions [data-mark=live]")).to_have_count(0)
    steps.fill(page, "max-new-tokens", 4)
    assert len(steps.steer(page)) == 9


def test_random_control_has_the_same_radius(page: Page) -> None:
    steps.choose_only(page, 2, 5)
    page.locator("#random-control input").check()
    steps.set_radius(page, 7.5)
    steps.steer(page)
    titles = page.locator("#completions .mx-completion-title")
    expect(titles).to_have_text(["Baseline", "Random control", "Vector 2", "Vector 5"])
    for kind in ("random", "vector"):
        expect(steps.completions(page, kind).first.locator(".mx-completion-meta")).to_contain_text("R 7.5 ")


def test_both_signs_stand_side_by_side(page: Page) -> None:
    steps.choose_only(page, 2, 5)
    page.locator("#both-signs input").check()
    steps.steer(page)
    titles = page.locator("#completions .mx-completion-title")
    expect(titles).to_have_text(["Baseline", "Vector 2", "Vector 2, reversed", "Vector 5", "Vector 5, reversed"])
    page.locator("#both-signs input").uncheck()
    assert len(steps.steer(page)) == 3


def test_a_runaway_is_flagged_on_its_completion_and_on_the_vectors_card(page: Page) -> None:
    steps.choose_only(page, 6)
    flag = page.locator('#vector-cards .mx-card[data-vector="6"]').locator(".mx-card-runaway")
    expect(flag).to_have_count(0)
    steps.set_radius(page, 4000)
    steps.steer(page)
    expect(steps.completions(page, "vector").locator(".mx-score-runaway")).to_be_visible()
    expect(flag).to_be_visible()
    assert "ran away at R = 4000" in (steps.cards(page).nth(6).get_attribute("title") or "")
    expect(steps.chosen_cards(page)).to_have_count(1)


def test_each_text_has_a_verdict_with_the_numbers_behind_it(page: Page) -> None:
    steps.choose_only(page, 2, 5)
    steps.fill(page, "max-new-tokens", 30)
    steps.set_radius(page, 16)
    steps.press_steer(page)
    expect(steps.completions(page, "vector").first).to_contain_text("writing")
    expect(page.locator("#completions .mx-score")).to_have_count(0)
    expect(steps.progress(page, "steer")).to_have_text("Done")
    verdicts = page.locator("#completions .mx-score:not(.mx-score-runaway)")
    expect(verdicts).to_have_text([re.compile("readable|strange|broken")] * 3)
    number = r"-?\d+\.\d\d"
    told = rf"""readability [01]\.\d\d of 1
log-probability {number} nats per token under the unsteered model
{number} nats per token (less|more) likely than the baseline's text
least likely eight tokens in a row: {number} nats each
KL\(steered ‖ unsteered\) {number} at the prompt's end, {number} along the text
repetition \d+%( · dictionary words \d+%)? · language \w+$"""
    for verdict in verdicts.all():
        expect(verdict).to_have_attribute("title", re.compile(told))
    expect(verdicts.first).to_have_attribute("title", re.compile(r"‖ unsteered\) 0.00 at the prompt's end, 0.00 along"))


def test_sampled_texts_repeat_with_their_seed(page: Page) -> None:
    steps.choose_only(page, 1, 3)
    steps.fill(page, "max-new-tokens", 11)
    page.locator("#mode").get_by_label("sampled").check()
    expect(steps.field(page, "seed")).to_be_editable()
    steps.fill(page, "temperature", 1)
    seen = []
    for seed in (41, 42):
        steps.fill(page, "seed", seed)
        seen.append(steps.steer(page))
    assert seen[0] != seen[1]
    # One vector more, and the kept texts of another length cannot be taken: all rows are sampled again.
    steps.fill(page, "seed", 41)
    steps.fill(page, "max-new-tokens", 12)
    again = steps.steer(page)
    assert all(new.startswith(old) for old, new in zip(seen[0], again, strict=True))


def test_several_seeds_of_a_cell_are_counted_and_stand_in_the_inspector(page: Page) -> None:
    steps.choose_only(page, 3)
    steps.fill(page, "max-new-tokens", 9)
    page.locator("#mode").get_by_label("sampled").check()
    expect(steps.field(page, "samples")).to_be_editable()
    steps.fill(page, "samples", 4)
    steps.steer(page)
    card = page.locator("#completions .mx-kind-vector")
    expect(card.locator(".mx-seeds")).to_contain_text("of 4 seeds")
    expect(card.locator(".mx-seeds")).to_contain_text("differ")
    expect(page.locator("#completions .mx-kind-baseline .mx-seeds")).not_to_contain_text("differ")
    card.locator(".mx-completion-text").click()
    seeds = page.locator(".mx-inspector-seed")
    expect(seeds).to_have_count(4)
    said = seeds.locator(".mx-inspector-text").all_text_contents()
    assert len(set(said)) > 1 and said[0] == card.locator(".mx-completion-text").text_content().rstrip(" …")
    page.keyboard.press("Escape")
    steps.fill(page, "samples", 1)
    page.locator("#mode").get_by_label("greedy").check()


def test_prompts_between_dashes_are_groups(page: Page) -> None:
    steps.choose_only(page, 0)
    steps.fill(page, "prompt", "Name a colour.\n---\nName an animal.")
    expect(page.locator("#tokens .mx-token-count")).to_have_text(
        [re.compile(r"Prompt 1: \d+ tokens, 6 steered"), re.compile(r"Prompt 2: \d+ tokens, 6 steered")]
    )
    assert len(steps.steer(page)) == 4
    groups = page.locator("#completions .mx-group")
    expect(groups.locator(".mx-group-title")).to_have_text(["Prompt 1: Name a colour.", "Prompt 2: Name an animal."])
    for group in groups.all():
        expect(group.locator(".mx-completion-title")).to_have_text(["Baseline", "Vector 0"])


def test_vectors_are_found_sorted_and_chosen_in_their_list(page: Page) -> None:
    steps.choose_only(page, 4, 1)
    assert steps.chosen_vectors(page) == ["1", "4"]
    expect(page.locator("#vector-cards")).to_contain_text("2 of 8 selected")
    expect(page.locator("#vectors-toggle")).to_contain_text("2 of 8")
    orders = page.get_by_label("Order of the vectors")
    orders.select_option("strongest first")
    strongest = steps.cards(page).locator(".mx-card-number").all_inner_texts()
    assert sorted(strongest) == [str(one) for one in range(8)] != strongest
    page.get_by_label("Vectors to show").select_option("chosen")
    expect(steps.cards(page)).to_have_count(2)
    page.get_by_label("Vectors to show").select_option("all vectors")
    find = page.get_by_label("Find vectors by name, tag or text")
    find.fill("nothing says this")
    expect(page.locator("#vector-cards")).to_contain_text("None of the vectors is like that.")
    find.fill("")
    orders.select_option("by number")
    page.locator("#cards-all").click()
    expect(steps.chosen_cards(page)).to_have_count(8)
    page.locator("#vectors-toggle").click()
    expect(page.locator("#vector-panel")).to_be_hidden()
    page.keyboard.press("v")
    expect(page.locator("#vector-panel")).to_be_visible()


def test_a_bank_is_opened_once_and_only_when_another_one_is_chosen(page: Page) -> None:
    openings = page.evaluate("""() => {
      const { components, dependencies } = gradio_config;
      const [bank, cards] = ['bank', 'vector-cards'].map((name) => components.find((c) => c.props.elem_id === name).id);
      return dependencies.filter((d) => d.targets.some(([id]) => id === bank) && d.outputs.includes(cards))
        .map((d) => d.id);
    }""")
    asked: list[int] = []
    page.on("request", lambda request: asked.append((request.post_data_json or {})["fn_index"])
            if "/queue/join" in request.url else None)  # fmt: skip
    assert openings
    steps.choose_bank(page, "who-are-you")
    assert len([one for one in asked if one in openings]) == 1
    steps.choose_only(page, 2, 5)
    steps.field(page, "bank").click()  # the list is looked at, and left as it is
    steps.field(page, "bank").press("Escape")
    steps.field(page, "prompt").click()
    steps.settle(page)
    expect(steps.chosen_cards(page)).to_have_count(2)
    steps.field(page, "bank").click()
    page.get_by_role("option", name=re.compile(r"^who-are-you \(sample\)")).click()
    steps.settle(page)
    assert steps.chosen_vectors(page) == ["2", "5"]
    expect(steps.chosen_cards(page)).to_have_count(2)


def test_looking_at_earlier_comparisons_changes_nothing(page: Page) -> None:
    steps.choose_only(page, 1)
    steps.steer(page)
    steps.fill(page, "prompt", "Not asked yet")
    steps.field(page, "history").click()
    steps.field(page, "history").press("Escape")
    steps.field(page, "prompt").click()
    steps.settle(page)
    expect(steps.field(page, "prompt")).to_have_value("Not asked yet")


def test_auto_steers_when_radius_or_vectors_change(page: Page) -> None:
    steps.choose_only(page, 0)
    page.locator("#auto input").check()
    steps.forget(page, "steer")
    steps.set_radius(page, 6)
    expect(steps.progress(page, "steer")).to_have_text("Done")
    expect(steps.completions(page, "vector").locator(".mx-completion-meta")).to_have_text(re.compile("^R 6 "))
    steps.forget(page, "steer")
    page.locator('#vector-cards .mx-card[data-vector="3"]').click()
    expect(steps.progress(page, "steer")).to_have_text("Done")
    expect(page.locator("#completions .mx-completion-title")).to_have_text(["Baseline", "Vector 0", "Vector 3"])


def test_radius_zero_is_the_baseline_alone(page: Page) -> None:
    steps.set_radius(page, 0)
    assert len(steps.steer(page)) == 1


def test_texts_stay_when_something_changes_without_auto(page: Page) -> None:
    steps.choose_only(page, 0, 1)
    texts = steps.steer(page)
    steps.set_radius(page, 5)
    page.locator("#cards-all").click()
    steps.settle(page)
    assert steps.texts(page) == texts
    expect(steps.progress(page, "steer")).to_have_text("Done")
    assert steps.field(page, "history").input_value() != ""


def test_earlier_comparison_comes_back_from_the_list(page: Page) -> None:
    steps.choose_only(page, 7)
    steps.set_radius(page, 11)
    steps.fill(page, "prompt", "What is in the box?")
    texts = steps.steer(page)
    entry = steps.field(page, "history").input_value()
    steps.fill(page, "prompt", "Something else?")
    steps.choose_only(page, 0)
    assert steps.steer(page) != texts
    steps.field(page, "history").click()
    page.get_by_role("option", name=entry).first.click()
    expect(steps.field(page, "prompt")).to_have_value("What is in the box?")
    steps.settle(page)
    assert steps.texts(page) == texts
    expect(page.locator(".mx-radius-label")).to_contain_text("R = 11 ")
    assert steps.chosen_vectors(page) == ["7"]


def test_a_text_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    steps.choose_only(page, 6)
    text = steps.steer(page)[1]
    button = steps.completions(page, "vector").locator("[data-action=copy]")
    button.click()
    expect(button).to_have_text("copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.split() == text.split()
