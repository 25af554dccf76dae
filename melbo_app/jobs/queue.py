"""The jobs of the server: trainings one after the other, and beside them what is short."""

import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.job import Job
from melbo_app.jobs.study import ResumableStudy, Study
from melbo_app.library.damage import Listed
from melbo_app.library.file_names import same_file
from melbo_app.library.job_records import JobRecord

SAVED_EVERY = 1.0
"""Seconds between two writings of a job's progress to the database."""
AGAIN_AFTER = 30.0
"""Seconds after which a database that refused is tried again."""
CRASHES = 3
"""A job during which the server crashed so often at the same place is not begun again: it may be the reason."""


class JobQueue:
    """All jobs of one server. Trainings wait for each other; other jobs begin at once, ahead of trainings.

    Every job is kept in the database from its beginning. While the database refuses, jobs go on all the same.
    """

    def __init__(self, bench: Bench, read: Callable[[dict[str, Any]], Study[Any]]) -> None:
        """``read`` gives the study that was kept as JSON, or raises InputError."""
        self._bench, self._records, self._read = bench, bench.records, read
        self._lock = threading.Lock()
        self._active: dict[int, Job[Any, Any]] = {}
        self._ended: dict[int, JobRecord] = {}  # those whose end the database did not take
        self._training: Job[Any, Any] | None = None
        self._due: dict[int, float] = {}
        self._closing = False

    def start(self, study: Study[Any], who: str) -> Job[Any, Any]:
        """A new job, asked for by ``who``; it begins at once where nothing is before it.

        Raises:
            InputError: the study cannot be done, or an active job is going to make a bank of the same name.
            StorageError: the job cannot be kept.
        """
        study = study.bound(self._bench)
        study.check(self._bench)
        study.check_model(self._bench)
        if study.bank_name is not None:
            for job in self.active():
                if job.study.bank_name is not None and same_file(job.study.bank_name) == same_file(study.bank_name):
                    raise InputError("name", f"{job.title} is under way or waits", "Choose another name")
        job = self._put(self._records.add(study.kind, study.title, study.kept(), who), study)
        self._advance()
        return job

    def again(self, id: int, who: str) -> Job[Any, Any]:
        """Go on with a job that was interrupted; or do again what another one did, a training under a free name."""
        record = self.record(id)
        if self.find(id) is not None:
            raise InputError("job", f"“{record.title}” is not over", "Wait for it, or stop it first")
        study = self._read(record.request)
        if (model := study.other_model(self._bench)) is not None:
            raise InputError("model", f"“{record.title}” is for {model}", "Load that model first")
        if record.state == "interrupted":
            job = self._put(record, study)
            self._advance()
            return job
        taken = [job.study.bank_name for job in self.active() if job.study.bank_name is not None]
        return self.start(study.renamed(self._bench, taken), who)

    def training(self) -> Job[Any, Any] | None:
        """The training that runs, or the last one; None where there was none since the server started."""
        return self._training

    def waiting(self) -> list[Job[Any, Any]]:
        """The trainings in the queue, the next one first."""
        with self._lock:
            return [job for job in self._active.values() if job.state == "waiting"]

    def active(self, kind: str | None = None) -> list[Job[Any, Any]]:
        """The jobs that run or wait, oldest first; all, or those of one kind."""
        with self._lock:
            return [job for job in self._active.values() if kind in (None, job.kind)]

    def find(self, id: int) -> Job[Any, Any] | None:
        """The job ``id``, if it runs or waits."""
        return self._active.get(id)

    def records(self, limit: int = 100) -> Listed[JobRecord]:
        """The last jobs, newest first, as they are now."""
        known, kept = self._known(), self._records.recent(limit)
        return Listed((self._now(record, known) for record in kept), kept.damaged)

    def record(self, id: int) -> JobRecord:
        """One job as it is now. Raises InputError for an unknown one."""
        known = self._known()
        return known[1].get(id) or self._now(self._records.get(id), known)

    def stop(self, id: int) -> JobRecord:
        """Stop a job, keeping what is finished, or take it out of the queue."""
        job = self.find(id)
        if job is not None:
            job.stop()
            return self.record(id)
        record = self.record(id)
        if record.state == "interrupted":  # nobody will go on with it
            record = record.model_copy(update={"state": "stopped"})
            self._records.save(record)
            return record
        raise InputError("job", f"“{record.title}” is over", "There is nothing to stop")

    def resume(self) -> None:
        """Take up the jobs that the last server left behind; those for another model stay interrupted."""
        kept: set[int] = set()
        unstopped: list[Job[Any, Any]] = []
        for record in self._records.unfinished():
            if record.id in self._active:  # begun on this server already
                kept.add(record.id)
                continue
            try:
                study = self._read(record.request)
            except InputError as error:
                self._records.save(record.model_copy(update={"state": "failed", "error": str(error)}))
                continue
            if record.state == "stopping" and not isinstance(
                study, ResumableStudy
            ):  # what is finished of it was kept as it came
                self._records.save(record.model_copy(update={"state": "stopped", "ended": datetime.now(UTC)}))
                continue
            job = self._made(record, study)
            if record.state in ("running", "stopping"):
                crash = _crash_line(record)
                job.say(crash)
                if sum(line.text == crash for line in record.log) >= CRASHES - 1:
                    sentence = f"The server ended {CRASHES} times at this place; it may need more memory than there is."
                    job.say(sentence)
                    self._records.save(job.record().model_copy(update={"state": "failed", "error": sentence}))
                    continue
            kept.add(record.id)
            if study.other_model(self._bench) is None:
                self._enter(job)
                if record.state == "stopping":
                    unstopped.append(job)
            else:
                job.say("It is for another model than the one that is loaded: load that one and run it again.")
                self._records.save(job.record().model_copy(update={"state": "interrupted"}))
        self._advance()
        for job in unstopped:  # they begin, find the vectors that are finished, and stop with them
            job.stop()
        self._bench.checkpoints.keep_only(kept)

    def pause(self, seconds: float) -> list[str]:
        """The server ends: let all jobs write down where they stand, for at most ``seconds``. The titles of those that
        the next server goes on with."""
        with self._lock:
            self._closing = True
            jobs = list(self._active.values())
        for job in jobs:
            job.pause()
        end = time.monotonic() + seconds
        for job in jobs:
            if job.state != "waiting":
                job.wait(max(0.0, end - time.monotonic()))
        return [job.title for job in jobs if job.state not in ("done", "stopped", "failed")]

    def _put(self, record: JobRecord, study: Study[Any]) -> Job[Any, Any]:
        job = self._made(record, study)
        self._enter(job)
        return job

    def _made(self, record: JobRecord, study: Study[Any]) -> Job[Any, Any]:
        def work(job: Job[Any, Any]) -> Generator[Any, None, Any]:
            if isinstance(study, ResumableStudy):
                return study.resume(
                    self._bench, job.is_stopping, Checkpointing(self._bench.checkpoints, job.id, job.say)
                )
            return study.run(self._bench, job.is_stopping)

        return Job(record, study, work, self._job_changed)

    def _enter(self, job: Job[Any, Any]) -> None:
        with self._lock:
            self._active[job.id] = job

    def _advance(self) -> None:
        """Begin what may begin now: the oldest training where none runs, and everything else."""
        begin = []
        with self._lock:
            if self._closing:
                return
            for job in sorted(self._active.values(), key=lambda job: job.id):
                if job.state != "waiting":
                    continue
                if job.study.how == "training":
                    if self._training is not None and self._training.is_active:
                        continue
                    self._training = job
                begin.append(job)
        for job in begin:
            job.start()

    def _job_changed(self, job: Job[Any, Any]) -> None:
        if job.is_active and job.state != "stopping" and time.monotonic() < self._due.get(job.id, 0.0):
            return
        record = job.record()
        if not job.is_active:
            with self._lock:
                self._active.pop(job.id, None)
                self._ended[job.id] = record
        try:
            self._records.save(record)
            self._ended.pop(job.id, None)
            self._due[job.id] = time.monotonic() + SAVED_EVERY
        except StorageError:
            self._due[job.id] = time.monotonic() + AGAIN_AFTER
        if not job.is_active:
            self._due.pop(job.id, None)
            self._advance()

    def _known(self) -> tuple[dict[int, Job[Any, Any]], dict[int, JobRecord]]:
        """Jobs that run or wait, and ends that the database may not know of. To be asked before the database is: what
        ends in between is known to the job then, whatever an old record says."""
        with self._lock:
            return dict(self._active), dict(self._ended)

    def _now(self, record: JobRecord, known: tuple[dict[int, Job[Any, Any]], dict[int, JobRecord]]) -> JobRecord:
        active, ended = known
        if record.id in ended:
            return ended[record.id]
        job = active.get(record.id)
        if job is None:
            return record
        found = job.record()
        if found.state != "waiting":
            return found
        place = next((at for at, one in enumerate(self.waiting(), start=1) if one is job), None)
        return found.model_copy(update={"place": place})


def _crash_line(record: JobRecord) -> str:
    if record.progress is None:
        return "The server ended at its beginning."
    return f"The server ended at: {record.progress.stage}."
