"""Lines of texts that were found, for tables."""

from typing import Any

from melbo_app.library.completion import Completion
from melbo_app.studies.search_meaning import Near
from melbo_app.ui.present import amount, day, first_line

FOUND_COLUMNS = ["of", "text", "R", "date"]
NEAR_COLUMNS = ["cosine", *FOUND_COLUMNS]


def text_cells(one: Completion) -> list[str]:
    """A text in ``FOUND_COLUMNS``."""
    of = "baseline" if one.vector is None else f"{one.bank} {one.vector}" if one.bank else "random control"
    radius = amount(one.radius) if one.vector is not None else ""
    return [of, first_line(one.text, 160), radius, day(one.created)]


def found_table(texts: list[Completion], message: str) -> dict[str, Any]:
    """The value of a ``record_table`` of texts; a key is the number of a text."""
    rows = [{"key": str(one.id), "cells": text_cells(one)} for one in texts]
    return {"columns": FOUND_COLUMNS, "wide": ["text"], "rows": rows, "message": message}


def near_table(near: tuple[Near, ...], message: str, key: str = "{}") -> dict[str, Any]:
    """The same of texts found by their meaning, with ``key`` around the number."""
    rows = [
        {"key": key.format(one.completion.id), "cells": [f"{one.cosine:.2f}", *text_cells(one.completion)]}
        for one in near
    ]
    return {"columns": NEAR_COLUMNS, "wide": ["text"], "rows": rows, "message": message}
