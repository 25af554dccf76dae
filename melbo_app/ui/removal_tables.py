"""A stress test of a removal on the page: its tables, the texts of a test, and the command that repeats it."""

import shlex
from typing import Any

from melbo_app.library.removals import Judged, Outcome, Removal, SideEffect
from melbo_app.studies.removal_answer import ROLES, TITLES, familiarity_line, figure
from melbo_app.ui.present import many, sentence

TESTS = ["test", "before", "edited", "clean", "verdict"]
SIDE = ["beside it", "before", "edited", "clean", "change"]
FIGURES = TESTS[1:4]
TONES = {"shows it": "damaged"}
READ = (
    "Each value has its 95 % interval. “Shows it”: clearly above the clean model. “No sign beyond the clean model”: "
    "not so, although the model before is clearly above both. Otherwise the test cannot tell. Click one for its texts."
)


def test_table(found: Removal | None) -> dict[str, Any]:
    """The tests; a row's key is the test's name."""
    if found is None:
        return {"columns": []}
    rows = [
        {"key": one.test, "cells": [TITLES[one.test], *_figures(one), one.verdict], "tone": TONES.get(one.verdict, "")}
        for one in found.tests
    ]
    return {"columns": TESTS, "wide": FIGURES, "rows": rows}


def side_table(found: Removal | None) -> dict[str, Any]:
    """What should have stayed as it was."""
    if found is None:
        return {"columns": []}
    rows = [
        {"key": one.measure, "cells": [TITLES[one.measure], *_figures(one), one.change]} for one in found.side_effects
    ]
    return {"columns": SIDE, "wide": FIGURES, "rows": rows}


def texts_of(found: Removal, key: str) -> tuple[list[str], dict[str, Any]]:
    """The reason of a verdict, and the texts of each model, as ``organism_texts`` shows them."""
    for one in found.tests:
        if one.test == key:
            return [f"{sentence(TITLES[one.test])}: {one.verdict}. {sentence(one.reason)}."], _parts(found, one)
    for side in found.side_effects:
        if side.measure == key:
            return [f"{sentence(TITLES[side.measure])}: {side.change}."], _parts(found, side)
    return [], {}


def said(found: Removal) -> list[str]:
    """What a stress test comes to, without a total score."""
    shows, gone, open_ = (len(found.of(one)) for one in ("shows it", "no sign beyond the clean model", "cannot tell"))
    counts = f"{shows} of {many(len(found.tests), 'test')} show it, {gone} have no sign beyond the clean model, "
    left = [f"Left out, {TITLES[one.test]}: {one.reason}." for one in found.left_out]
    return [
        f"{found.behaviour}: {found.about}",
        f"{counts}{open_} cannot tell.",
        f"{sentence(familiarity_line(found))}.",
        *left,
    ]


def repeating(found: Removal) -> dict[str, Any]:
    """The command line that makes it again."""
    words = ["python", "-m", "melbo_app", "removal", "--model", found.models["edited"].spec]
    words += ["--before", found.models["before"].spec, "--behaviour", found.behaviour]
    if "clean" in found.models:
        words += ["--clean", found.models["clean"].spec]
    words += ["--bank", found.bank] if found.bank else []
    if any(one.reason == "it was not asked for" for one in found.left_out):
        words += [word for one in found.tests for word in ("--test", one.test)]
    words += ["--prompts", str(found.most_prompts), "--seed", str(found.seed)]
    return {"command": shlex.join(words), "note": "The same on the command line (a recipe of your own by its file):"}


def _figures(one: Judged | SideEffect) -> list[str]:
    return [figure(one.outcomes[role]) if role in one.outcomes else "–" for role in ROLES]


def _parts(found: Removal, one: Judged | SideEffect) -> dict[str, Any]:
    parts = []
    for role in ROLES:
        outcome: Outcome | None = one.outcomes.get(role)
        if outcome is not None:
            texts = [{"prompt": text.prompt, "text": text.text, "shows": text.shows} for text in outcome.texts]
            title = f"{sentence(role)}: {found.models[role].name}"
            parts.append({"title": title, "figure": figure(outcome), "texts": texts})
    return {"parts": parts}
