"""Studies: run at once, or in the background as jobs of the server."""

from collections.abc import Generator
from typing import Any, TypeVar

from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank
from melbo_app.library.banks import check_name
from melbo_app.library.damage import Listed
from melbo_app.library.job_records import JobRecord
from melbo_app.limits import MOST_LISTED, check_range
from melbo_app.workbench.models import Models

HERE = "this machine"
Result = TypeVar("Result")


class Jobs(Models):
    """Runs studies, and manages jobs."""

    def run(self, study: Study[Result], *, stop: Stop = never) -> Generator[Any, None, Result]:
        """Run a study at once: yields its progress and returns its result.

        Raises:
            InputError: the study cannot be done.
            Stopped: there was a stop before there was anything to keep.
        """
        study = study.bound(self.bench)
        study.check(self.bench)
        study.check_model(self.bench)
        return (yield from study.run(self.bench, stop))

    def start(self, study: Study[Result], *, who: str = HERE) -> Job[Any, Result]:
        """Start a study in the background for ``who``. Raises InputError for mistakes that can be found at once."""
        return self.queue.start(study, who)

    def training_job(self) -> Job[Any, Bank] | None:
        """The running training, or the last one since the server started; None if there was none."""
        return self.queue.training()

    def unsaved_bank(self) -> str | None:
        """The name of the newest trained bank that could not be saved; None if there is none."""
        return self.bench.unsaved[-1].record.name if self.bench.unsaved else None

    def save_again(self, name: str | None = None) -> Bank:
        """Save the trained bank that could not be saved, optionally under another name."""
        if not self.bench.unsaved:
            raise InputError("bank", "none is waiting to be saved", "Train one")
        waiting = self.bench.unsaved[-1]
        bank = waiting.renamed(check_name(name)) if name else waiting
        self.bench.banks.save(bank)
        self.bench.unsaved.remove(waiting)
        return bank

    def jobs(self, limit: int = 100) -> Listed[JobRecord]:
        """Everybody's last jobs in their current state, newest first."""
        check_range("limit", limit, 1, MOST_LISTED)
        return self.queue.records(limit)

    def job(self, id: int) -> JobRecord:
        """One job in its current state."""
        return self.queue.record(id)

    def active_jobs(self, kind: str | None = None) -> list[Job[Any, Any]]:
        """The running and waiting jobs, oldest first: all, or one kind."""
        return self.queue.active(kind)

    def stop_job(self, id: int) -> JobRecord:
        """Stop a job, keeping its finished part, or remove it from the queue."""
        return self.queue.stop(id)

    def run_again(self, id: int, *, who: str = HERE) -> Job[Any, Any]:
        """Resume an interrupted job, or repeat another one, a training under a free name."""
        return self.queue.again(id, who)

    def resume_jobs(self) -> None:
        """Resume the last server's jobs. Only the server that owns the cache may do so."""
        self.bench.model.get()
        self.queue.resume()

    def pause_jobs(self, seconds: float) -> list[str]:
        """Let jobs save their state, because the server ends. Returns the titles of jobs that the next one resumes."""
        return self.queue.pause(seconds)
