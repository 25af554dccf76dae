"""Lines of texts that were found, for tables."""

from collections.abc import Sequence
from typing import Any

from melbo_app.library.answers import FoundAnswer
from melbo_app.library.completion import Completion
from melbo_app.studies.search_meaning import Near, NearAnswer
from melbo_app.ui.present import amount, day, first_line

FOUND_COLUMNS = ["of", "text", "R", "date"]
CHAT = "chat"
NEAR_COLUMNS = ["cosine", *FOUND_COLUMNS]


def text_cells(one: Completion) -> list[str]:
    """A text in ``FOUND_COLUMNS``."""
    of = "baseline" if one.vector is None else f"{one.bank} {one.vector}" if one.bank else "random control"
    radius = amount(one.radius) if one.vector is not None else ""
    return [of, first_line(one.text, 160), radius, day(one.created)]


def answer_cells(one: FoundAnswer) -> list[str]:
    """An answer of a conversation in ``FOUND_COLUMNS``."""
    of = "no vector" if one.vector is None else f"{one.bank} {one.vector}"
    radius = amount(one.radius) if one.vector is not None else ""
    return [f"chat · {of}", first_line(one.text, 160), radius, day(one.created)]


def key_of(one: Completion | FoundAnswer) -> str:
    """The key of a line: a kind, for an answer the number of its conversation, and the number of the text."""
    if isinstance(one, FoundAnswer):
        return f"{CHAT}\n{one.conversation}\n{one.number}"
    return f"completion\n\n{one.id or 0}"


def found_table(texts: Sequence[Completion | FoundAnswer], message: str) -> dict[str, Any]:
    """The value of a ``record_table`` of texts, with ``key_of`` them."""
    rows = [{"key": key_of(one), "cells": _cells(one)} for one in texts]
    return {"columns": FOUND_COLUMNS, "wide": ["text"], "rows": rows, "message": message}


def near_table(near: Sequence[Near | NearAnswer], message: str) -> dict[str, Any]:
    """The same of texts found by their meaning."""
    found = [(one.answer if isinstance(one, NearAnswer) else one.completion, one.cosine) for one in near]
    rows = [{"key": key_of(one), "cells": [f"{cosine:.2f}", *_cells(one)]} for one, cosine in found]
    return {"columns": NEAR_COLUMNS, "wide": ["text"], "rows": rows, "message": message}


def _cells(one: Completion | FoundAnswer) -> list[str]:
    return answer_cells(one) if isinstance(one, FoundAnswer) else text_cells(one)
