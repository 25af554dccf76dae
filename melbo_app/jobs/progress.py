"""How far work is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """What is being done, and how much of it is."""

    stage: str
    done: int
    total: int
    note: str = ""
    """A line for the log of the job."""
