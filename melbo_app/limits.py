"""The limits of one request in one place; they are checked before any work."""

from collections.abc import Iterable, Sequence
from typing import Any

from melbo_app.errors import InputError
from melbo_app.quoting import shown

LARGEST = 2**63 - 1
"""The largest whole number that SQLite and the model's arrays can hold."""

MOST_CHARACTERS = 500_000
"""Of one text for the model: about 128,000 tokens of English. A tokenizer takes a second for a million characters, and
blocks all of Python meanwhile."""
MOST_CHARACTERS_TOGETHER = 2_000_000
"""Of all prompts of one request: two or three seconds of tokenizing."""
MOST_NAME = 1_000
"""Characters of a name, a template's name and settings, a scope, or search words."""

MOST_PROMPTS = 1_000
"""Per request; 250 prompts for each of four groups. Published sets of contrast pairs have 100 to 520."""
MOST_RADII = 200
"""Values of R per request: a factor of 1,000 in steps of 3.5 %."""
MOST_SAMPLES = 50
"""Sampled texts of each vector and R: a share is then known within 14 points."""
MOST_TEXTS = 20_000
"""Texts per request (prompts × vectors × R × signs): an hour on two cores at 40 tokens each, and 40 MB in memory and in
the database."""
MOST_MAPPED = 5_000
"""Texts on a map: UMAP takes half a minute for these, and cannot be stopped."""

MOST_NEW_TOKENS = 131_072
"""The longest context of the models in the catalogue; the loaded model's own context is usually shorter."""
MOST_STEPS = 1_000_000_000
"""Enough for years, for people who will press Stop."""
MOST_LAYER = 9_999
"""The number of a block, before the model's number of blocks is known."""
MOST_LISTED = 10_000
"""Lines of a list in one answer."""
MOST_ITEMS = 10_000
"""Entries of any list in a request, before other checks."""


def check_range(field: str, value: float, least: float, most: float) -> None:
    """Raises InputError if ``value`` is outside ``least`` … ``most``, or NaN."""
    if not least <= value <= most:  # also true for NaN
        raise InputError(field, f"{shown(value)} is out of range", f"Choose {_said(least)} to {_said(most)}")


def check_count(field: str, count: int, most: int, remedy: str = "") -> None:
    """Raises InputError if ``count`` is greater than ``most``."""
    if count > most:
        raise InputError(field, f"{count:,} are too many", remedy or f"Give at most {most:,} at once")


def check_text(field: str, text: str, most: int = MOST_CHARACTERS) -> str:
    """Returns the text. Raises InputError if it has more than ``most`` characters."""
    if len(text) > most:
        raise InputError(field, f"it has {len(text):,} characters", f"At most {most:,} are allowed")
    return text


def check_texts_together(field: str, texts: Iterable[str | None]) -> None:
    """Raises InputError if the texts of one request are too long in total."""
    total = sum(len(text or "") for text in texts)
    if total > MOST_CHARACTERS_TOGETHER:
        remedy = f"At most {MOST_CHARACTERS_TOGETHER:,} are allowed per request"
        raise InputError(field, f"they have {total:,} characters in total", remedy)


def check_prompts(prompts: Sequence[Any], field: str = "prompts") -> None:
    """Raises InputError for too many or too long prompts (with ``user`` and ``system``)."""
    check_count(field, len(prompts), MOST_PROMPTS)
    check_texts_together(field, (text for one in prompts for text in (one.user, one.system)))


def check_texts(prompts: int, variants: int, most: int = MOST_TEXTS) -> None:
    """Raises InputError for too many texts; ``variants`` counts the vectors at each R, and the baseline."""
    if prompts * variants > most:
        problem = (
            f"{prompts:,} prompts with {variants:,} combinations of vector and R make {prompts * variants:,} texts"
        )
        raise InputError("texts", problem, f"At most {most:,} are allowed: choose fewer vectors, R or prompts")


def _said(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
