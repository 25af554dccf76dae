"""Errors written for the person who reads them: what was wrong, where, and what would be right."""


class MelboError(Exception):
    """Base of every error that is shown to a person as one sentence."""


class InputError(MelboError):
    """A value that a person gave cannot be used.

    ``field`` is the name of the input as the person knows it ("target layer"), ``problem`` says what is wrong with
    it, and ``remedy`` what would be right.
    """

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(f"{field}: {problem}." + (f" {remedy}." if remedy else ""))


class BusyError(MelboError):
    """The work cannot start now because other work is under way."""


class StorageError(MelboError):
    """Something could not be read from or written to disk; nothing was half-written."""


class Stopped(Exception):
    """Raised inside long work when a person pressed Stop. Not an error."""
