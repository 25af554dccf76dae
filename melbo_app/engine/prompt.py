"""What a person writes for the model to answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """What a person wrote: user text, optional system text, and whether the chat template goes around it."""

    user: str
    system: str | None = None
    template: bool = True
