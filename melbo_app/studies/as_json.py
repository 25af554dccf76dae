"""Parts of titles and of JSON answers."""

from typing import Any

from pydantic import BaseModel

from melbo_app.engine.prompt import Prompt


def plain(record: BaseModel) -> Any:
    """A record as JSON."""
    return record.model_dump(mode="json")


def stored(number: int | None) -> int | None:
    """A number in the database; None for results that are only in memory, whose numbers are temporary."""
    return None if number is None or number < 0 else number


def beginning(prompt: Prompt) -> str:
    """The beginning of a prompt, for titles."""
    return one_line(prompt.user, 40)


def one_line(text: str, longest: int) -> str:
    """A text on one line of at most ``longest`` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"
