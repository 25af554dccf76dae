"""When to write a training's checkpoint, and whether to resume from one."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from melbo_app.errors import InputError, StorageError
from melbo_app.library.checkpoints import Checkpoints

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.training_state import TrainingState

EVERY = 4.0
"""Seconds between two checkpoints. A batch takes one or two, so a crash costs less than ten."""
COST, LONGEST = 20.0, 7.0
"""If writing is slow, the work between checkpoints takes this many times as long, up to so many seconds."""


class Checkpointing:
    """The checkpoint of one job. The training offers its state after every step; now and then it is written."""

    def __init__(self, checkpoints: Checkpoints, job: int, say: Callable[[str], None]) -> None:
        self._checkpoints, self._job, self._say = checkpoints, job, say
        self._identity: dict[str, Any] = {}
        self._latest: Callable[[], TrainingState] | None = None
        self._due = time.monotonic() + EVERY
        self._refused = False

    @property
    def is_there(self) -> bool:
        """Whether the training was begun earlier: then a stop may have vectors to keep."""
        return self._checkpoints.has(self._job)

    def begin(self, identity: dict[str, Any]) -> "TrainingState | None":
        """The state to resume from, or None to start afresh; ``identity`` is all that determines the training."""
        from melbo_app.engine.training_state import TrainingState

        self._identity = identity
        try:
            found = self._checkpoints.load(self._job)
            if found is None:
                return None
            arrays, record = found
            if record["identity"] != identity:
                different = [name for name in identity if record["identity"].get(name) != identity[name]]
                self._say(f"The checkpoint belongs to another {' and '.join(different) or 'training'}: starting again.")
                return None
            state = TrainingState.unpacked(arrays, record["state"])
        except (InputError, LookupError, TypeError, ValueError):
            self._say("The checkpoint is damaged: starting again.")
            return None
        self._say(f"Resumed from the checkpoint, after {state.seconds:.0f} s of work.")
        return state

    def __call__(self, state: "Callable[[], TrainingState]") -> None:
        """Take note of the training's state (a ``Keeper``)."""
        self._latest = state
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the training's latest state, if there is one. A disk error does not end the training."""
        if self._latest is None:
            return
        begin = time.monotonic()
        arrays, record = self._latest().packed()
        try:
            self._checkpoints.save(self._job, arrays, {"identity": self._identity, "state": record})
            self._refused = False
        except StorageError as error:
            if not self._refused:
                self._say(f"The checkpoint could not be written: {error}")
            self._refused = True
        end = time.monotonic()
        self._due = end + min(max(EVERY, COST * (end - begin)), LONGEST)

    def remove(self) -> None:
        """Remove the checkpoint, because the training has ended."""
        self._latest = None
        self._checkpoints.remove(self._job)
