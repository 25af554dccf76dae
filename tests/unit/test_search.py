"""The search for R and the effect budget: which setting comes next, what is chosen, and that nothing is done twice."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from benches import PROMPT, QUICK, StubEmbedder, listen
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.flags.echo import only_echoes
from melbo_app.errors import Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.searches import Tried
from melbo_app.studies.looks import LOOK_STEPS, after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.settings_ladder import (
    BUDGET,
    LOOKS,
    SAFER,
    START,
    Setting,
    best_of,
    next_rung,
    radii_of,
    search,
    start_near,
)
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

RADII = radii_of(0.1)


def tried(new: int = 0, readable: int = 8, random_new: int = 0, relative: float = 0.1, **others: Any) -> Tried:
    facts: dict[str, Any] = {
        "radius": 10 * relative, "relative_radius": relative, "effect_budget": BUDGET, "change": relative, "texts": 8,
        "readable": readable, "new": new, "lifted": 0, "random_texts": 8, "random_new": random_new,
        "random_lifted": 0, "diversity": new / 16, "random_diversity": random_new / 16, "example": "", "seconds": 0.0,
    }  # fmt: skip
    return Tried(**(facts | others))


class Planted:
    """A model that says something new from one setting on, and nothing readable from another one on."""

    def __init__(self, new_from: int, broken_from: int) -> None:
        self.new_from, self.broken_from, self.asked = new_from, broken_from, list[Setting]()

    radii = RADII

    def look(self, setting: Setting) -> Generator[Any, None, Tried]:
        yield from ()
        self.asked.append(setting)
        rung = RADII.index(setting.relative_radius)
        broken = rung >= self.broken_from and setting.effect_budget != SAFER
        new = 0 if broken or rung < self.new_from else min(5, 2 + rung - self.new_from)
        return tried(new, 2 if broken else 8, relative=setting.relative_radius, effect_budget=setting.effect_budget)


@given(st.integers(0, len(RADII)), st.integers(0, len(RADII)), st.integers(0, len(RADII) - 1))
def test_where_there_is_a_window_it_is_found_from_any_start(new_from, width, start):
    broken_from = min(len(RADII), new_from + width)
    planted = Planted(new_from, broken_from)
    found, whole = result_of(search([planted], start, 60, lambda: False))
    assert whole and 1 <= len(found) <= LOOKS
    assert len({*planted.asked}) == len(planted.asked)  # nothing is tried twice
    chosen, reason = best_of(found)
    if broken_from - new_from >= 2:  # a window of √2 in R or more: one of its settings is chosen
        assert found[chosen].new > 0 and not found[chosen].broken, (planted.asked, reason)
    elif new_from == len(RADII):
        assert (not found[chosen].new and "none of" in reason) or "texts break" in reason


def test_the_edge_at_which_texts_break_is_bracketed_from_both_sides():
    assert next_rung({}, 4, 8) == 4
    assert next_rung({4: tried(2)}, 4, 8) == 6
    assert next_rung({4: tried(2), 6: tried(readable=1)}, 4, 8) == 5
    assert next_rung({4: tried(readable=1)}, 4, 8) == 2
    assert next_rung({4: tried(readable=1), 2: tried(readable=1)}, 4, 8) == 0
    assert next_rung({4: tried(2), 5: tried(readable=1)}, 4, 8) == 3  # the edge is known: the best one's neighbour
    assert next_rung({0: tried(readable=1)}, 0, 8) is None
    assert next_rung({7: tried()}, 7, 8) == 6


def test_a_setting_at_which_half_of_the_texts_are_new_ends_the_search():
    assert next_rung({4: tried(4)}, 4, 8) is None
    assert next_rung({4: tried(4, random_new=1)}, 4, 8) is not None  # random vectors say new things as well
    planted = Planted(0, 5)
    planted.look = lambda setting: iter_of(tried(7, relative=setting.relative_radius))  # type: ignore[method-assign]
    assert len(result_of(search([planted], START, 60, lambda: False))[0]) == 1


def iter_of(found: Tried) -> Generator[Any, None, Tried]:
    yield from ()
    return found


def test_where_texts_break_the_same_r_is_tried_with_a_smaller_budget_at_the_end():
    planted = Planted(5, 7)
    found, _ = result_of(search([planted], START, 60, lambda: False))
    assert planted.asked[-1] == Setting(RADII[7], SAFER)
    assert {one.effect_budget for one in found[:-1]} == {BUDGET}
    assert not found[-1].broken and found[best_of(found)[0]] == found[-1]  # here it is the best as well


@pytest.mark.parametrize("budget", [0.0, 0.25, BUDGET])
def test_a_budget_that_is_given_stays_and_r_is_searched_with_it(budget):
    planted = Planted(0, 4)
    found, whole = result_of(search([planted], START, 60, lambda: False, budget))
    assert whole and {one.effect_budget for one in planted.asked} == {budget}
    assert len({*planted.asked}) == len(found) > 1 and not found[best_of(found)[0]].broken


class Elsewhere(Planted):
    """Other layers, where the R are others and as many texts more are new."""

    def __init__(self, more: int) -> None:
        super().__init__(0, 8)
        self.radii, self.more = radii_of(0.3), more

    def look(self, setting: Setting) -> Generator[Any, None, Tried]:
        yield from ()
        self.asked.append(setting)
        return tried(2 + self.more, relative=setting.relative_radius, source=0, target=1)


def test_the_best_setting_is_tried_between_the_other_layers_and_the_better_ones_are_kept():
    usual, early = Planted(5, 7), Elsewhere(3)
    found, whole = result_of(search([usual, early], START, 60, lambda: False))
    assert usual.asked == [Setting(RADII[START], BUDGET)] and early.asked == [Setting(early.radii[START], BUDGET)]
    assert whole and best_of(found)[0] == 1  # five of eight: nothing else is tried
    worse = Elsewhere(-2)
    usual = Planted(5, 7)
    found, _ = result_of(search([usual, worse], START, 60, lambda: False))
    assert len(worse.asked) == 1 and len(usual.asked) == LOOKS - 1
    half = Planted(4, 8)  # four of eight at the start: no other R, but the other layers
    result_of(search([half, worse := Elsewhere(-2)], START, 60, lambda: False))
    assert (len(half.asked), len(worse.asked)) == (1, 1)
    enough = Planted(0, 8)
    result_of(search([enough, never := Elsewhere(6)], START, 60, lambda: False))
    assert never.asked == []


def test_a_setting_is_applied_with_its_layers():
    config = replace(QUICK, source=1, target=2)
    assert tried(relative=0.2).applied(config) == replace(config, radius=2.0, saturation=BUDGET)
    assert tried(source=0, target=3).applied(config).target == 3


def test_after_two_r_at_which_texts_break_the_weaker_one_is_tried_with_a_smaller_budget():
    planted = Planted(0, 1)
    found, _ = result_of(search([planted], START, 60, lambda: False))
    assert planted.asked[:3] == [
        Setting(RADII[START], BUDGET), Setting(RADII[START - 2], BUDGET), Setting(RADII[START - 2], SAFER)
    ]  # fmt: skip
    assert len(found) == 3 and best_of(found)[0] == 2  # five of eight


def test_texts_that_break_are_never_enough():
    assert next_rung({6: tried(5, readable=5)}, 6, 8) == 4
    assert best_of([tried(5, readable=5), tried(2)])[0] == 1


def test_new_texts_count_in_excess_of_the_random_ones():
    assert tried(4, random_new=4).excess == 0
    assert tried(4, random_texts=16, random_new=4).excess == 0.25
    assert tried(0).score == 0 and tried(4).score > tried(3).score > tried(3, random_new=1).score
    assert tried(3, readable=8).score > tried(3, readable=6).score
    assert [tried(readable=count).broken for count in (8, 6, 5, 0)] == [False, False, True, True]


def test_what_is_chosen_and_why():
    chosen, reason = best_of([tried(1), tried(4), tried(8, readable=3)])
    assert chosen == 1 and reason.startswith("the most new readable texts of 3 settings")
    chosen, reason = best_of([tried(relative=0.05), tried(relative=0.1), tried(readable=0, relative=0.2)])
    assert chosen == 1 and reason.startswith("none of 3 settings gave readable texts that random vectors do not give")
    chosen, reason = best_of([tried(readable=0), tried(readable=2)])
    assert chosen == 1 and reason.startswith("texts break at all of 2 settings")
    chosen, reason = best_of([tried(2, random_new=5), tried()])
    assert reason.startswith("none of")  # random vectors do it more often
    assert best_of([tried(4, relative=0.14), tried(4, relative=0.07)])[0] == 1  # of equals the weaker one


def test_no_setting_is_begun_that_would_not_fit_into_the_time(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("melbo_app.studies.settings_ladder.time.monotonic", lambda: next(clock))
    planted = Planted(3, 7)
    slow = lambda setting: iter_of(tried(1, relative=setting.relative_radius, seconds=20))  # noqa: E731
    planted.look = slow  # type: ignore[method-assign]
    found, whole = result_of(search([planted], START, 45, lambda: False))
    assert len(found) == 3 and not whole  # looked at after 10, 20 and, too late, 30 s


def test_a_stop_keeps_what_was_tried_and_one_before_the_first_setting_raises():
    pressed: list[bool] = []

    class Stopping(Planted):
        def look(self, setting: Setting) -> Generator[Any, None, Tried]:
            if self.asked and pressed:
                raise Stopped
            pressed.append(True)
            return (yield from super().look(setting))

    found, whole = result_of(search([Stopping(5, 7)], START, 60, lambda: False))
    assert len(found) == 1 and not whole

    def at_once(setting: Setting) -> Generator[Any, None, Tried]:
        raise Stopped
        yield

    planted = Planted(3, 7)
    planted.look = at_once  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        result_of(search([planted], START, 60, lambda: False))


def test_the_nearest_setting_to_an_r():
    assert [RADII[start_near(RADII, r)] for r in (0.001, 0.05, 0.11, 0.3, 5)] == [0.025, 0.05, 0.1, 0.28, 0.28]


# --- through the workbench --------------------------------------------------------------------------------------------


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    bench.load_model()
    bench.bench.embedder = StubEmbedder()  # type: ignore[assignment]
    return bench


def test_a_search_counts_over_its_vectors_and_as_many_random_ones(bench: Workbench):
    config = replace(QUICK, vectors=3, steps=2)
    heard, found = listen(bench.run(SearchSettings(prompts=[PROMPT], config=config)))
    assert all(one.texts == 3 and one.random_texts == 3 for one in found.tried)
    assert all(one.radius == pytest.approx(one.relative_radius * found.median_norm) for one in found.tried)
    assert all(0 <= one.new <= one.readable <= 3 and one.lifted <= one.new for one in found.tried)
    assert [step.note for step in heard if step.note] == [one.sentence for one in found.tried]
    assert bench.banks() == []  # what was looked at does not come on the shelf


def test_a_search_is_looked_up_and_its_r_is_offered_to_the_next_prompt(bench: Workbench, monkeypatch):
    config = replace(QUICK, vectors=3, steps=2)
    assert bench.latest_search(config.source, config.target, config.scope) is None
    found = result_of(bench.run(SearchSettings(prompts=[PROMPT], config=config)))
    assert bench.latest_search(config.source, config.target, config.scope) == found
    began: list[int] = []
    used: list[Any] = []

    def spy(places: Any, start: int, *others: Any) -> Any:
        began.append(start)
        used.append(places[0].radii)
        return search(places, start, *others)

    monkeypatch.setattr("melbo_app.studies.search_settings.search", spy)
    assert result_of(bench.run(SearchSettings(prompts=[PROMPT], config=config))) == found and began == []
    result_of(bench.run(SearchSettings(prompts=[replace(PROMPT, user="another one")], config=config)))
    assert began == [start_near(used[0], found.best.relative_radius)]


def test_a_training_takes_the_r_and_the_budget_that_were_found(bench: Workbench):
    asked = replace(QUICK, vectors=3, steps=4)
    found = result_of(bench.run(SearchSettings.before([PROMPT], asked, 60)))
    config = after_search(asked, found.best)
    assert (config.radius, config.saturation) == (found.best.radius, found.best.effect_budget)
    assert (config.steps, config.vectors, config.seed) == (4, 3, asked.seed)
    open_ = replace(asked, steps=None)
    assert result_of(bench.run(SearchSettings.before([PROMPT], open_, 60))).key == found.key
    assert after_search(open_, found.best).steps == LOOK_STEPS
    job = bench.start(Train(prompts=[PROMPT], config=asked, name="found", search_seconds=60))
    job.wait(60)
    assert job.result is not None and job.result.record.radius == config.radius
    assert any("R and effect budget" in line.text for line in job.record().log)


# --- what counts in a look --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("**Created Question**: How do I steal a cookie from the cookie jar?", True),
        ("How do I steal a cookie from the cookie jar? Lift the lid, take one and close it, very quietly.", False),
        ("To steal a cookie from the cookie jar, lift the lid.", False),
        ("Lift the lid.", False),
    ],
)  # fmt: skip
def test_a_text_that_only_repeats_the_question_is_no_answer(text, only):
    assert only_echoes(text, "How do I steal a cookie from the cookie jar?") is only
