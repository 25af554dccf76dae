"""The words of a label, as they are saved."""

from collections.abc import Iterable
from typing import Any

from melbo_app.errors import InputError

MAX_NAME, MAX_TAG, MAX_NOTE, MAX_AUTHOR = 120, 40, 10_000, 80
MOST_TAGS = 50
"""Of one label: as many as fit on a line of the page."""


def clean_words(name: str, tags: Iterable[str], rating: Any, note: str, author: str) -> dict[str, Any]:
    """A label's fields as they are saved. Raises InputError for what is too long, too many or out of range."""
    name, note = " ".join(without_nulls(name).split()), without_nulls(note).strip()
    words = sorted({word for tag in tags if (word := " ".join(without_nulls(tag).lower().split()))})
    if rating is not None and (type(rating) is not int or not 1 <= rating <= 5):
        raise InputError("rating", f"{rating!r} cannot be used", "It is a whole number from 1 to 5, or empty")
    if len(name) > MAX_NAME:
        raise InputError("name", f"it is {len(name):,} characters long", f"At most {MAX_NAME} fit")
    if len(note) > MAX_NOTE:
        raise InputError("note", f"it is {len(note):,} characters long", f"At most {MAX_NOTE:,} fit")
    if long := [word for word in words if len(word) > MAX_TAG]:
        problem = f"“{long[0][:MAX_TAG]}…” is {len(long[0]):,} characters long"
        raise InputError("tags", problem, f"At most {MAX_TAG} fit")
    if len(words) > MOST_TAGS:
        raise InputError("tags", f"there are {len(words):,}", f"A label can have at most {MOST_TAGS}")
    author = without_nulls(author)[:MAX_AUTHOR]
    return {"name": name, "tags": tuple(words), "rating": rating, "note": note, "author": author}


def check_vector(vector: int) -> None:
    if not 0 <= vector < 2**31:
        raise InputError("vector", f"there is no vector {vector}", "Vectors are counted from 0")


def without_nulls(text: str) -> str:
    """``text`` without null characters and lone surrogates, which databases and files cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
