"""A hardened model in the tables of the page."""

from typing import Any

from melbo_app.library.hardened import Hardened, HardenedText
from melbo_app.studies.hardening_lines import PARTS
from melbo_app.ui.present import first_line, sentence

COUNTED = ["on held-out prompts", "before", "after"]
TEXTS = ["prompts", "prompt", "before", "after"]
LONGEST = 160


def parts_table(found: Hardened) -> dict[str, Any]:
    """The counts before and after."""
    rows = [[sentence(PARTS[one.part]), str(one.before), str(one.after)] for one in found.parts]
    if found.loss_before is not None and found.loss_after is not None:
        losses = [f"{loss:.3f}" for loss in (found.loss_before, found.loss_after)]
        rows.append(["Surprisal of the answers before, nats a token", *losses])
    if not rows:
        return {"columns": []}
    return {"columns": COUNTED, "figures": COUNTED[1:], "rows": [{"cells": cells} for cells in rows]}


def texts_table(found: Hardened, chosen: int | None = None) -> dict[str, Any]:
    """The answers before and after, those first in which something changed that is counted; a row's key is the place
    of the text, and ``chosen`` is selected."""
    places = sorted(range(len(found.texts)), key=lambda at: found.texts[at].shows_before == found.texts[at].shows_after)
    if not places:
        return {"columns": []}
    return {
        "columns": TEXTS, "wide": TEXTS[1:], "rows": [_row(at, found.texts[at]) for at in places],
        "selected": None if chosen is None else str(chosen),
    }  # fmt: skip


def text_lines(found: Hardened, at: int) -> list[str]:
    """Both answers to a prompt, whole."""
    one = found.texts[at]
    return [f"{sentence(one.part)}: {one.prompt}", f"Before: {one.before}", f"After: {one.after}"]


def _row(at: int, one: HardenedText) -> dict[str, Any]:
    return {
        "key": str(at),
        "cells": [one.part, *(first_line(text, LONGEST) for text in (one.prompt, one.before, one.after))],
    }
