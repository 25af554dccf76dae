"""The most that one request may ask for, all of it in one place: what is refused here has cost nothing yet."""

from collections.abc import Iterable, Sequence
from typing import Any

from melbo_app.errors import InputError
from melbo_app.quoting import shown

LARGEST = 2**63 - 1
"""The largest whole number that SQLite and the model's arrays can hold."""

MOST_CHARACTERS = 500_000
"""Of one text that goes into the model: as much as 128,000 tokens of English. A tokenizer takes a second for a million
characters, and Python stands still meanwhile."""
MOST_CHARACTERS_TOGETHER = 2_000_000
"""Of all prompts of one request: two or three seconds of tokenizing."""
MOST_NAME = 1_000
"""Characters of a name, a template's name and settings, a scope, or words that are searched for."""

MOST_PROMPTS = 1_000
"""Of one request; 250 prompts for each of four groups. Published sets of contrast pairs have 100 to 520."""
MOST_RADII = 200
"""Different R of one request: a factor of 1,000 in steps of 3.5 %."""
MOST_TEXTS = 20_000
"""Texts of one request (prompts × vectors × R × signs): an hour on two cores at 40 tokens each. A comparison is one
piece in memory and in the database, some 40 MB of it then."""
MOST_MAPPED = 5_000
"""Texts on a map: UMAP takes half a minute for these, and cannot be stopped inside."""

MOST_NEW_TOKENS = 131_072
"""As long as the longest context of the models in the catalogue; the loaded model's own is the limit mostly."""
MOST_STEPS = 1_000_000_000
"""Years of them: who names that many means to press Stop."""
MOST_LAYER = 9_999
"""The number of a block, before the model is asked how many it has."""
MOST_LISTED = 10_000
"""Lines of a list that one answer holds."""
MOST_ITEMS = 10_000
"""Entries of any list in a request, before what the list is for is looked at."""


def check_range(field: str, value: float, least: float, most: float) -> None:
    """Raises InputError where ``value`` is outside of ``least`` … ``most``, or not a number at all."""
    if not least <= value <= most:  # written so that NaN is refused too
        raise InputError(field, f"{shown(value)} is out of range", f"Choose {_said(least)} to {_said(most)}")


def check_count(field: str, count: int, most: int, remedy: str = "") -> None:
    """Raises InputError where there are more than ``most``."""
    if count > most:
        raise InputError(field, f"there are {count:,}", remedy or f"At most {most:,} are taken at once")


def check_text(field: str, text: str, most: int = MOST_CHARACTERS) -> str:
    """The text. Raises InputError where it has more than ``most`` characters."""
    if len(text) > most:
        raise InputError(field, f"it has {len(text):,} characters", f"At most {most:,} are read")
    return text


def check_texts_together(field: str, texts: Iterable[str | None]) -> None:
    """Raises InputError where the texts of one request are too long together."""
    together = sum(len(text or "") for text in texts)
    if together > MOST_CHARACTERS_TOGETHER:
        remedy = f"At most {MOST_CHARACTERS_TOGETHER:,} are read at once"
        raise InputError(field, f"they have {together:,} characters together", remedy)


def check_prompts(prompts: Sequence[Any], field: str = "prompts") -> None:
    """Raises InputError for more prompts (with ``user`` and ``system``) than one request may have, or longer ones."""
    check_count(field, len(prompts), MOST_PROMPTS)
    check_texts_together(field, (text for one in prompts for text in (one.user, one.system)))


def check_texts(prompts: int, variants: int, most: int = MOST_TEXTS) -> None:
    """Raises InputError where so many prompts under so many variants (vectors at an R, and none) are too many texts."""
    if prompts * variants > most:
        problem = f"{prompts:,} prompts under {variants:,} vectors and R are {prompts * variants:,}"
        raise InputError("texts", problem, f"At most {most:,} are made at once: choose fewer vectors, R or prompts")


def _said(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
