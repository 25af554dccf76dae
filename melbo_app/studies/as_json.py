"""Parts of titles and of the answers that programs get."""

from typing import Any

from pydantic import BaseModel

from melbo_app.engine.prompt import Prompt


def plain(record: BaseModel) -> Any:
    """A record as JSON can hold it."""
    return record.model_dump(mode="json")


def stored(number: int | None) -> int | None:
    """The number of what is stored; None for what waits in memory, which has numbers that mean nothing elsewhere."""
    return None if number is None or number < 0 else number


def beginning(prompt: Prompt) -> str:
    """The first words of a prompt, as titles have them."""
    words = " ".join(prompt.user.split())
    return words if len(words) <= 40 else words[:39] + "…"
