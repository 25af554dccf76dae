"""Jobs in the database: the request, who made it, the progress and the result."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import select

from melbo_app.errors import InputError
from melbo_app.library.damage import Damage, Listed, read_one
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import MAX_INTEGER, Count, Moment, Name, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.tables import JobRow

MOST_LINES = 200

JobState = Literal["waiting", "running", "stopping", "done", "stopped", "failed", "interrupted"]
ENDED: tuple[JobState, ...] = ("done", "stopped", "failed")


class LogLine(Frozen):
    """One line of a job's log."""

    at: Moment
    text: Text


class JobProgress(Frozen):
    """Progress of a job. ``seconds_left`` is None if it cannot be estimated."""

    stage: Text
    done: Count
    total: Count
    seconds_left: float | None = None


class JobRecord(Frozen):
    """A job at one moment.

    ``request`` is everything needed to run it again. ``bank`` is the name of the bank that it made, ``comparison`` the
    id of the comparison. ``place`` is its place in the queue, from 1; None if it is not waiting.
    """

    id: int
    kind: Word
    title: Text
    request: dict[str, Any]
    state: JobState
    progress: JobProgress | None = None
    log: tuple[LogLine, ...] = ()
    who: Text
    created: Moment
    started: Moment | None = None
    ended: Moment | None = None
    bank: Name | None = None
    comparison: Count | None = None
    error: Text | None = None
    place: int | None = None


class JobRecords(InDatabase):
    """The jobs in ``database``. Every method raises StorageError if the database cannot be used."""

    def add(self, kind: str, title: str, request: dict[str, Any], who: str) -> JobRecord:
        """Store a new job, which waits."""
        facts = {"kind": kind, "title": title, "request": request, "who": who[:200], "created": datetime.now(UTC)}
        with self._database.write() as session:
            row = JobRow(state="waiting", log=[], **facts)
            session.add(row)
            session.flush()
            return _record(row)

    def save(self, record: JobRecord) -> None:
        """Store the changes of a job."""
        facts = record.model_dump(mode="json", include={"progress", "log"})
        with self._database.write() as session:
            row = session.get(JobRow, record.id)
            if row is None:  # the database was replaced meanwhile
                return
            row.progress, row.log = facts["progress"], facts["log"][-MOST_LINES:]
            for field in ("state", "started", "ended", "error", "bank", "comparison"):
                setattr(row, field, getattr(record, field))

    def get(self, id: int) -> JobRecord:
        """The job ``id``. Raises InputError if it does not exist."""
        with self._database.read() as session:
            row = session.get(JobRow, id) if 0 <= id < MAX_INTEGER else None
            if row is None:
                raise InputError("job", f"there is no job {id}", "See the list of jobs")
            return read_one(row, _record, _subject(row))

    def recent(self, limit: int = 100) -> Listed[JobRecord]:
        """The last ``limit`` jobs, newest first."""
        return self._each(select(JobRow).order_by(JobRow.id.desc()).limit(limit), _record, _subject)

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read."""
        return [*self._each(select(JobRow).order_by(JobRow.id), _record, _subject).damaged]

    def unfinished(self) -> Listed[JobRecord]:
        """The jobs that have not ended, oldest first."""
        return self._each(select(JobRow).where(JobRow.state.not_in(ENDED)).order_by(JobRow.id), _record, _subject)


def _subject(row: JobRow) -> str:
    return f"job {row.id}"


def _record(row: JobRow) -> JobRecord:
    try:
        progress = None if row.progress is None else JobProgress.model_validate(row.progress)
    except ValidationError:  # saved by another version
        progress = None
    log = tuple(LogLine.model_validate(line) for line in row.log)
    plain = {name: getattr(row, name) for name in JobRecord.model_fields if name not in ("progress", "log", "place")}
    return JobRecord(progress=progress, log=log, **plain)
