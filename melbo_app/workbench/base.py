"""The base of the parts of the workbench."""

import getpass
import threading
from typing import Any

from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.jobs.queue import JobQueue
from melbo_app.library.offered_models import OfferedModels
from melbo_app.library.weights import Progress
from melbo_app.settings import Settings
from melbo_app.studies import read_study


class Base:
    """A bench, and the queue of jobs that work on it."""

    def __init__(
        self, settings: Settings, on_progress: Progress | None = None, offered: OfferedModels | None = None
    ) -> None:
        """``on_progress`` is called with a line before each step of preparing a model's files; ``offered`` are the
        models that may be loaded, by default any."""
        self.settings = settings
        self.bench = Bench(settings, on_progress, offered)
        self.queue = JobQueue(self.bench, read_study)
        self._getting: ModelGetting | None = None
        self._one_getting = threading.Lock()

    def why_not(self, use: str, about: Any = None) -> str:
        """Why this workbench's users may not call the method ``use`` on ``about``, as a sentence; "" if they may."""
        return ""

    @property
    def weights_hash(self) -> str | None:
        """The hash of the loaded model's weights; None if no model is loaded."""
        return self.bench.model.state().weights_hash

    @property
    def _account(self) -> str:
        """The account that runs the program; "" for a number without a name, as in some containers."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return ""

    def _hash_of(self, bank: str, vector: int) -> str:
        loaded = self.bench.banks.load(bank)
        if not 0 <= vector < len(loaded.vectors):
            raise InputError("vector", f"“{bank}” has no vector {vector}", f"Choose 0 to {len(loaded.vectors) - 1}")
        return loaded.hash
