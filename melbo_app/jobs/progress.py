"""The progress of work."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The current stage, and how much of the work is done. Studies add what they have found so far."""

    stage: str
    done: int
    total: int
    note: str = ""
    """A line for the log of the job."""
