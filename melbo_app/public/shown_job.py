"""A job or download as visitors see it: without folders, and with Stop only for whoever started it."""

from collections.abc import Callable
from typing import Any

from melbo_app.library.job_records import JobRecord
from melbo_app.public.discretion import Discretion


class ShownJob:
    """Wraps a ``Job`` or a ``ModelGetting``. ``stop`` replaces the job's own, and may refuse."""

    def __init__(self, job: Any, discretion: Discretion, stop: Callable[[], object]) -> None:
        self._job, self._discretion, self._stop = job, discretion, stop

    @property
    def error(self) -> str | None:
        """The sentence to show."""
        error: str | None = self._job.error
        return error and self._discretion.text(error)

    @property
    def result(self) -> Any:
        """The result."""
        return self._discretion.value(self._job.result)

    def record(self) -> JobRecord:
        """The job as it is now."""
        return self._discretion.value(self._job.record())

    def stop(self) -> None:
        """Ask the job to stop. Raises InputError for somebody else's job."""
        self._stop()

    def __getattr__(self, name: str) -> Any:
        shown = ("id", "key", "kind", "study", "title", "state", "progress", "started", "ended", "is_active", "wait")
        if name not in shown:
            raise AttributeError(name)
        return getattr(self._job, name)
