"""The prompts from which a watch learns what is usual, and those that it watches."""

from collections.abc import Sequence

from melbo_app.errors import InputError
from melbo_app.limits import MOST_PROMPTS, check_count, check_range, check_texts_together

LEAST_CLEAN = 10
LEAST_FALSE, MOST_FALSE, FALSE_ALARMS = 0.0001, 0.5, 0.01


def check_usual(clean: Sequence[str], false_alarms: float) -> None:
    """Raises InputError for clean prompts, or a share of false alarms, with which no bank can watch."""
    check_range("false alarms", false_alarms, LEAST_FALSE, MOST_FALSE)
    check_watched(clean, "clean")
    if len({*clean}) < LEAST_CLEAN:
        problem = f"{len({*clean})} different prompts are too few to know what is usual"
        raise InputError("clean", problem, f"Give {LEAST_CLEAN} or more; a hundred are better")


def check_watched(texts: Sequence[str], name: str) -> None:
    """Raises InputError for too many prompts, or an empty one; ``name`` is the field."""
    check_count(name, len(texts), MOST_PROMPTS)
    check_texts_together(name, texts)
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise InputError(name, f"prompt {number} is empty", "Write a text for the model to answer")
