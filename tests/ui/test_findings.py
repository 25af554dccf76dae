"""What an exploration and a curve of known texts say on the page: nothing hidden, and nothing that does not fit."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import steps
from playwright.sync_api import Page, expect

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.diversity import Diversity
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.curves import Curves, KeptCurve
from melbo_app.library.explorations import ChosenRadius, Exploration, Explorations, ExploreSettings
from melbo_app.studies.curve import default_radii
from melbo_app.studies.findings import read

pytestmark = pytest.mark.browser

ASKED = PromptRecord(user="Should I tell my boss?")
ADVICE = "You should tell your boss what happened."
OPPOSITE = "You should not tell your boss what happened."
OTHER = "The river is cold in the morning."


def answers(texts: Sequence[str], model: str, first: int) -> list[Completion]:
    """The unsteered answer and those of vectors."""
    unknown = ["logprob", "loss", "kl_prompt", "kl_text", "dictionary_words", "language", "runaway"]
    scores = dict.fromkeys(unknown) | {"repetition": 0.0, "readability": 1.0, "verdict": "readable"}
    facts = {"model": "m", "model_hash": model, "max_new_tokens": 9, "temperature": 0, "top_p": 1, "seed": 0}
    steered = {"source": 7, "radius": 9.0, "bank_hash": "b"}
    return [
        Completion(
            id=first + at, vector=at - 1 if at else None, text=text, prompt=ASKED, tokens=9, finished=True,
            created=datetime.now(UTC), scores=Scores(**scores), **facts, **(steered if at else {}),
        )
        for at, text in enumerate([ADVICE, *texts])
    ]  # fmt: skip


def exploration(model: str) -> Exploration:
    """Of three answers, one advises the opposite in nearly the same words, and one, far away, is a duplicate of that
    before it; random vectors do it as often."""
    texts, random = [OPPOSITE, ADVICE, OTHER, OTHER], [OPPOSITE, OTHER, OTHER, ADVICE]
    place = {ADVICE: [1.0, 0.0, 0.0], OPPOSITE: [0.998, 0.063, 0.0], OTHER: [0.0, 0.0, 1.0]}
    places = np.array([place[text] for text in (ADVICE, *texts, ADVICE, *random)])
    said = read(answers(texts, model, 1), answers(random, model, 11), places, np.ones((4, 4)), (), 0.4)
    radius = ChosenRadius(radius=9, relative_radius=0.077, median_norm=117, how="given", reason="as given")
    return Exploration(
        model_hash=model, model="m", dtype="float32", prompt=ASKED, settings=ExploreSettings(vectors=4), source=7,
        target=21, scope="assistant", radius=radius, bank="b", bank_hash="0" * 32, comparison=1, control_comparison=2,
        baseline=ADVICE, answers=said.answers, control=said.control, behaviours=said.behaviours, aside=said.aside,
        threshold=said.threshold, readable_diversity=0.3, control_readable_diversity=0.3, seconds={},
        created=datetime.now(UTC),
    )  # fmt: skip


def test_answers_that_changed_are_all_there_with_what_changed_though_no_behaviour_is_new(page: Page, app: Any) -> None:
    """Of "0 behaviours, 2 of 8 changed" the two were not shown, and the opposite advice counted as unsteered."""
    kept = Explorations(app.cache / "explorations")
    found = exploration(page.evaluate("melbo.state.model"))
    assert found.new == 0 and any(one.vector == 3 for one in found.aside)
    kept.save(found)
    try:
        steps.reload(page)
        steps.tab(page, "Explore")
        view = page.locator("#explore-view")
        expect(view.locator(".mx-sentence")).to_contain_text("0 behaviours that random vectors of the same R do not")
        expect(view.locator(".mx-sentence")).to_contain_text("3 of 4 answers changed")
        rows = view.locator(".mx-answer-table").first.locator("tbody tr")
        expect(rows).to_have_count(4)
        changed = rows.and_(page.locator("[data-changed]"))
        shown = {row.locator("th").inner_text(): row.locator(".mx-answer-change").inner_text() for row in changed.all()}
        assert shown == {
            "0": "changed: the opposite advice", "2": "changed: farther than 0.4", "3": "changed: farther than 0.4",
        }  # fmt: skip
        expect(changed.filter(has_text=OPPOSITE)).to_have_count(1)
        unsteered = view.locator(".mx-behaviour", has_text="close to the unsteered answer")
        expect(unsteered.locator(".mx-behaviour-vectors [data-vector]")).to_have_text(["1"])
    finally:
        (app.cache / "explorations" / f"{found.key}.json").unlink()


def test_a_flat_curve_above_the_random_one_is_drawn_with_the_bands_that_say_so(page: Page, app: Any) -> None:
    """The curve was drawn well above the random one, and its table said "within chance", with no band to see why."""
    level = (0.5, 0.52, 0.48, 0.51, 0.5, 0.49, 0.5, 0.52)
    points = []
    for radius, mine in zip(default_radii(), level, strict=True):
        one, other = (Diversity(value, 0.03, value, 3, 4, 0.2, 1.0, 0.4, 1.5) for value in (mine, 0.02))
        points.append(CurvePoint(radius, 100 * radius, one, other, (one,), (other,), ()))
    curve = DiversityCurve("trained", None, 7, 21, "assistant", 100.0, (0,), tuple(points), True)
    found = KeptCurve(
        model_hash=page.evaluate("melbo.state.model"), prompts=(ASKED,), curve=curve, changed=datetime.now(UTC)
    )
    Curves(app.cache / "curves").save(found)
    try:
        steps.reload(page)
        steps.tab(page, "R")
        said = page.locator("#curve-said")
        expect(said).to_contain_text("No cusp: the curve is flat: its changes over R are within chance")
        expect(said).to_contain_text("On average over R the diversity is 0.50, under random vectors 0.02.")
        shown = page.locator("#curve-plot .js-plotly-plot").evaluate(
            "node => node._fullData.filter((one) => one.visible === true && one.fill === 'toself')"
            ".map((one) => [one.name, [...one.y]])"
        )
        assert [name for name, _ in shown] == ["95 % over vectors", "95 % over vectors"]
        mine, random = (dict(zip(("low", "high"), (edge[:8], edge[:7:-1]), strict=True)) for _, edge in shown)
        assert all(low < 0.5 < high for low, high in zip(mine["low"], mine["high"], strict=True)), "one level fits all"
        assert min(mine["low"]) > max(random["high"]), "and it is above that of random vectors"
    finally:
        (app.cache / "curves" / f"{found.key}.json").unlink()
