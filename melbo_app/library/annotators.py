"""The names that annotators give themselves."""

import unicodedata
from collections.abc import Sequence

from melbo_app.errors import InputError
from melbo_app.library.label_words import MAX_AUTHOR
from melbo_app.quoting import readable


def check_annotator(name: str) -> str:
    """The name as it is stored, without outer and double blanks; empty: nobody gave one.

    Raises InputError for a name that is too long, or has characters that cannot be seen, with which one name could pass
    for another.
    """
    if len(name) > 4 * MAX_AUTHOR:  # before it is read at all
        raise _too_long(name)
    clean = unicodedata.normalize("NFC", " ".join(name.split()))
    hidden = next((sign for sign in clean if sign != " " and not sign.isprintable()), None)
    if hidden is not None:
        problem = f"“{readable(clean, 30)}” has a character that cannot be seen (U+{ord(hidden):04X})"
        raise InputError("your name", problem, "Write it with letters, digits and blanks")
    if len(clean) > MAX_AUTHOR:
        raise _too_long(clean)
    return clean


def known_as(name: str, known: Sequence[str]) -> str:
    """A name that differs from a ``known`` one in small and capital letters alone is that one: one person is not
    counted as two."""
    same = [one for one in known if one.casefold() == name.casefold()]
    return name if name in same else same[0] if same else name


def _too_long(name: str) -> InputError:
    return InputError("your name", f"it is {len(name):,} characters long", f"At most {MAX_AUTHOR} fit")
