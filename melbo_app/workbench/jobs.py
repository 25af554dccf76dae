"""Studies: done here and now, or in the background as jobs of the server."""

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
    """What is being done, and by whom."""

    def run(self, study: Study[Result], *, stop: Stop = never) -> Generator[Any, None, Result]:
        """Do a study here and now: yields its progress and returns its result.

        Raises:
            InputError: the study cannot be done.
            Stopped: ``stop()`` became true before there was anything to keep.
        """
        study = study.bound(self.bench)
        study.check(self.bench)
        study.check_model(self.bench)
        return (yield from study.run(self.bench, stop))

    def start(self, study: Study[Result], *, who: str = HERE) -> Job[Any, Result]:
        """Do a study in the background, asked for by ``who``. Raises InputError for what can be refused at once."""
        return self.queue.start(study, who)

    def training_job(self) -> Job[Any, Bank] | None:
        """The training that runs, or the last one; None where there was none since the server started."""
        return self.queue.training()

    def unsaved_bank(self) -> str | None:
        """The name of a trained bank that could not be saved, if there is one; of several, the newest."""
        return self.bench.unsaved[-1].record.name if self.bench.unsaved else None

    def save_again(self, name: str | None = None) -> Bank:
        """Save the trained bank that could not be saved, under another name if given."""
        if not self.bench.unsaved:
            raise InputError("bank", "there is none that waits to be saved", "Train one")
        waiting = self.bench.unsaved[-1]
        bank = waiting.renamed(check_name(name)) if name else waiting
        self.bench.banks.save(bank)
        self.bench.unsaved.remove(waiting)
        return bank

    def jobs(self, limit: int = 100) -> Listed[JobRecord]:
        """The last jobs of everybody, newest first, as they are now."""
        check_range("limit", limit, 1, MOST_LISTED)
        return self.queue.records(limit)

    def job(self, id: int) -> JobRecord:
        """One job as it is now."""
        return self.queue.record(id)

    def active_jobs(self, kind: str | None = None) -> list[Job[Any, Any]]:
        """The jobs that run or wait, oldest first: all, or those of one kind."""
        return self.queue.active(kind)

    def stop_job(self, id: int) -> JobRecord:
        """Stop a job, keeping what is finished, or take it out of the queue."""
        return self.queue.stop(id)

    def run_again(self, id: int, *, who: str = HERE) -> Job[Any, Any]:
        """Go on with a job that was interrupted; or do again what another one did, a training under a free name."""
        return self.queue.again(id, who)

    def resume_jobs(self) -> None:
        """Go on with what the last server left behind. Only the server that owns the cache may do so."""
        self.bench.model.get()
        self.queue.resume()

    def pause_jobs(self, seconds: float) -> list[str]:
        """The server ends: jobs write down where they stand. The titles of those that the next one goes on with."""
        return self.queue.pause(seconds)
