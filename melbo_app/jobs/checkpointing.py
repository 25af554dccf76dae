"""When a training's checkpoint is written, and whether one that is found may be gone on from."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from melbo_app.errors import InputError, StorageError
from melbo_app.library.checkpoints import Checkpoints

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.training_state import TrainingState

EVERY = 4.0
"""Seconds between two checkpoints. A batch takes one or two, so that less than ten are lost."""
COST, LONGEST = 20.0, 7.0
"""Where writing is slow, there is this many times as much work between two checkpoints, up to so many seconds."""


class Checkpointing:
    """The checkpoint of one job. It is offered where the training stands, and writes that down now and then."""

    def __init__(self, checkpoints: Checkpoints, job: int, say: Callable[[str], None]) -> None:
        self._checkpoints, self._job, self._say = checkpoints, job, say
        self._identity: dict[str, Any] = {}
        self._latest: Callable[[], TrainingState] | None = None
        self._due = time.monotonic() + EVERY
        self._refused = False

    @property
    def is_there(self) -> bool:
        """Whether the training was begun before: then there may be vectors that a stop is to keep."""
        return self._checkpoints.has(self._job)

    def begin(self, identity: dict[str, Any]) -> "TrainingState | None":
        """Where the training ``identity`` goes on, None where it starts; ``identity`` is all that determines it."""
        from melbo_app.engine.training_state import TrainingState

        self._identity = identity
        try:
            found = self._checkpoints.load(self._job)
            if found is None:
                return None
            arrays, record = found
            if record["identity"] != identity:
                different = [name for name in identity if record["identity"].get(name) != identity[name]]
                self._say(f"Its checkpoint is of another {' and '.join(different) or 'training'}: it starts anew.")
                return None
            state = TrainingState.unpacked(arrays, record["state"])
        except (InputError, LookupError, TypeError, ValueError):
            self._say("Its checkpoint is damaged: it starts anew.")
            return None
        self._say(f"Goes on from its checkpoint, after {state.seconds:.0f} s of work.")
        return state

    def __call__(self, state: "Callable[[], TrainingState]") -> None:
        """Take note of where the training stands (a ``Keeper``)."""
        self._latest = state
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write down where the training stands now, if there is anything to write. A disk that refuses is no reason to
        end it."""
        if self._latest is None:
            return
        begin = time.monotonic()
        arrays, record = self._latest().packed()
        try:
            self._checkpoints.save(self._job, arrays, {"identity": self._identity, "state": record})
            self._refused = False
        except StorageError as error:
            if not self._refused:
                self._say(f"No checkpoint could be written: {error}")
            self._refused = True
        end = time.monotonic()
        self._due = end + min(max(EVERY, COST * (end - begin)), LONGEST)

    def remove(self) -> None:
        """The training came to its end."""
        self._latest = None
        self._checkpoints.remove(self._job)
