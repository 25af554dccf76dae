"""The jobs of the server: trainings one after the other, other jobs beside them."""

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
"""Seconds between two updates of a job's progress in the database."""
AGAIN_AFTER = 30.0
"""Seconds before a failed update is tried again."""
CRASHES = 3
"""After so many crashes of the server at the same place of a job, the job is given up: it may be the cause."""


class JobQueue:
    """All jobs of one server. Trainings wait for each other; other jobs begin at once and go before trainings.

    Every job is stored in the database before it begins. Jobs continue even while the database fails.
    """

    def __init__(self, bench: Bench, read: Callable[[dict[str, Any]], Study[Any]]) -> None:
        """``read`` restores a study from JSON, or raises InputError."""
        self._bench, self._records, self._read = bench, bench.records, read
        self._lock = threading.Lock()
        self._active: dict[int, Job[Any, Any]] = {}
        self._ended: dict[int, JobRecord] = {}  # ended jobs that could not be stored
        self._training: Job[Any, Any] | None = None
        self._due: dict[int, float] = {}
        self._closing = False

    def start(self, study: Study[Any], who: str) -> Job[Any, Any]:
        """Start a job for ``who``; it begins at once unless it has to wait in the queue.

        Raises:
            InputError: the study cannot be done, or an active job will make a bank of the same name.
            StorageError: the job cannot be stored.
        """
        study = study.bound(self._bench)
        study.check(self._bench)
        study.check_model(self._bench)
        if study.bank_name is not None:
            for job in self.active():
                if job.study.bank_name is not None and same_file(job.study.bank_name) == same_file(study.bank_name):
                    raise InputError(
                        "name", f"{job.title} is running or waiting under this name", "Choose another name"
                    )
        return self._put(self._records.add(study.kind, study.title, study.kept(), who), study)

    def again(self, id: int, who: str) -> Job[Any, Any]:
        """Resume an interrupted job, or repeat another one, a training under a free name."""
        record = self.record(id)
        if self.find(id) is not None:
            raise InputError("job", f"“{record.title}” has not ended", "Wait for it, or stop it first")
        study = self._read(record.request)
        if (model := study.other_model(self._bench)) is not None:
            raise InputError("model", f"“{record.title}” is for {model}", "Load that model first")
        if record.state == "interrupted":
            return self._put(record, study)
        taken = [job.study.bank_name for job in self.active() if job.study.bank_name is not None]
        return self.start(study.renamed(self._bench, taken), who)

    def training(self) -> Job[Any, Any] | None:
        """The running training, or the last one since the server started; None if there was none."""
        return self._training

    def waiting(self) -> list[Job[Any, Any]]:
        """The waiting trainings, the next one first."""
        with self._lock:
            return [job for job in self._active.values() if job.state == "waiting"]

    def active(self, kind: str | None = None) -> list[Job[Any, Any]]:
        """The running and waiting jobs, oldest first; all, or one kind."""
        with self._lock:
            return [job for job in self._active.values() if kind in (None, job.kind)]

    def find(self, id: int) -> Job[Any, Any] | None:
        """The job ``id``, if it is running or waiting."""
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
        """Stop a job, keeping its finished part, or remove it from the queue."""
        job = self.find(id)
        if job is not None:
            job.stop()
            return self.record(id)
        record = self.record(id)
        if record.state == "interrupted":  # it will not be resumed
            record = record.model_copy(update={"state": "stopped"})
            self._records.save(record)
            return record
        raise InputError("job", f"“{record.title}” has ended", "Nothing is left to stop")

    def resume(self) -> None:
        """Resume the jobs that the last server left behind; jobs for another model stay interrupted."""
        kept: set[int] = set()
        unstopped: list[Job[Any, Any]] = []
        for record in self._records.unfinished():
            if record.id in self._active:  # already begun on this server
                kept.add(record.id)
                continue
            try:
                study = self._read(record.request)
            except InputError as error:
                self._records.save(record.model_copy(update={"state": "failed", "error": str(error)}))
                continue
            if record.state == "stopping" and not isinstance(
                study, ResumableStudy
            ):  # its finished parts were stored as they came
                self._records.save(record.model_copy(update={"state": "stopped", "ended": datetime.now(UTC)}))
                continue
            job = self._made(record, study)
            if record.state in ("running", "stopping"):
                crash = _crash_line(record)
                job.say(crash)
                if sum(line.text == crash for line in record.log) >= CRASHES - 1:
                    sentence = f"The server ended {CRASHES} times at this place; it may need more memory than is free."
                    job.say(sentence)
                    self._records.save(job.record().model_copy(update={"state": "failed", "error": sentence}))
                    continue
            kept.add(record.id)
            if study.other_model(self._bench) is None:
                self._enter(job)
                if record.state == "stopping":
                    unstopped.append(job)
            else:
                job.say("It needs another model than the loaded one: load that model and run the job again.")
                self._records.save(job.record().model_copy(update={"state": "interrupted"}))
        self._advance()
        for job in unstopped:  # they begin, find their finished vectors, and stop with them
            job.stop()
        self._bench.checkpoints.keep_only(kept)

    def pause(self, seconds: float) -> list[str]:
        """Let all jobs save their state within ``seconds``, because the server ends. Returns the titles of jobs that
        the next server will resume."""
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
        """Enter a job in the queue, and begin what may begin."""
        job = self._made(record, study)
        self._enter(job)
        self._advance()
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
        """Begin the jobs that may begin now: the oldest training if none runs, and all others."""
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
        """Active jobs, and ended ones that the database may not know. Call it before reading the database: a job that
        ends in between then has the newer state, whatever the old record says."""
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
        return "The server ended at the beginning of this job."
    return f"The server ended at: {record.progress.stage}."
