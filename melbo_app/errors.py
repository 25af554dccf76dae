"""Errors for people: the field, the problem and the remedy."""


class MelboError(Exception):
    """Base class of all errors shown to people as one sentence."""


class InputError(MelboError):
    """Invalid input from a person. ``field`` is the input's name as the person knows it ("target layer"), ``problem``
    says what is wrong with it, and ``remedy`` how to fix it."""

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(f"{field}: {problem}." + (f" {remedy}." if remedy else ""))


class BusyError(MelboError):
    """The work cannot start now because other work is running."""


class StorageError(MelboError):
    """Something could not be read from or written to disk; no file was left half-written."""


class Stopped(Exception):
    """Raised inside long work when a person presses Stop; not an error."""
