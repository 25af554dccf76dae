"""Jobs as they are kept: what was asked for, by whom, how far it came and what it made."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select

from melbo_app.errors import InputError
from melbo_app.library.damage import Damage, Listed, read_each, read_one
from melbo_app.library.database import Database
from melbo_app.library.facts import MAX_INTEGER, Count, Moment, Name, Text, Word
from melbo_app.library.tables import JobRow

MOST_LINES = 200

JobState = Literal["waiting", "running", "stopping", "done", "stopped", "failed", "interrupted"]
ENDED: tuple[JobState, ...] = ("done", "stopped", "failed")


class LogLine(BaseModel):
    """One line of a job's log."""

    model_config = ConfigDict(frozen=True)

    at: Moment
    text: Text


class JobProgress(BaseModel):
    """How far a job is. ``seconds_left`` is None where it cannot be said."""

    model_config = ConfigDict(frozen=True)

    stage: Text
    done: Count
    total: Count
    seconds_left: float | None = None


class JobRecord(BaseModel):
    """A job as it is at one moment.

    ``request`` is all that is needed to run it again. ``bank`` is the name of the bank that it made, ``comparison``
    the id of the comparison. ``place`` counts the jobs of the queue that come before it and itself, from 1; None where
    it does not wait.
    """

    model_config = ConfigDict(frozen=True)

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


class JobRecords:
    """The jobs in ``database``. Every method raises StorageError where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, title: str, request: dict[str, Any], who: str) -> JobRecord:
        """A job that waits."""
        with self._database.write() as session:
            row = JobRow(
                kind=kind,
                title=title,
                request=request,
                state="waiting",
                log=[],
                who=who[:200],
                created=datetime.now(UTC),
            )
            session.add(row)
            session.flush()
            return _record(row)

    def save(self, record: JobRecord) -> None:
        """Keep what changes of a job."""
        facts = record.model_dump(mode="json", include={"progress", "log"})
        with self._database.write() as session:
            row = session.get(JobRow, record.id)
            if row is None:  # the database was moved away meanwhile, and a new one made
                return
            row.state = record.state
            row.progress, row.log = facts["progress"], facts["log"][-MOST_LINES:]
            row.started, row.ended, row.error = record.started, record.ended, record.error
            row.bank, row.comparison = record.bank, record.comparison

    def get(self, id: int) -> JobRecord:
        """The job ``id``. Raises InputError for an unknown one."""
        with self._database.read() as session:
            row = session.get(JobRow, id) if 0 <= id < MAX_INTEGER else None
            if row is None:
                raise InputError("job", f"there is no job {id}", "See the list of jobs")
            return read_one(row, _record, _subject(row))

    def recent(self, limit: int = 100) -> Listed[JobRecord]:
        """The last ``limit`` jobs, newest first."""
        newest = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        with self._database.read() as session:
            return read_each(session.scalars(newest), _record, _subject)

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read."""
        with self._database.read() as session:
            return [*read_each(session.scalars(select(JobRow).order_by(JobRow.id)), _record, _subject).damaged]

    def unfinished(self) -> Listed[JobRecord]:
        """The jobs that have not come to an end, oldest first."""
        open_ones = select(JobRow).where(JobRow.state.not_in(ENDED)).order_by(JobRow.id)
        with self._database.read() as session:
            return read_each(session.scalars(open_ones), _record, _subject)


def _subject(row: JobRow) -> str:
    return f"job {row.id}"


def _record(row: JobRow) -> JobRecord:
    try:
        progress = None if row.progress is None else JobProgress.model_validate(row.progress)
    except ValidationError:  # as another version counted
        progress = None
    return JobRecord(
        id=row.id,
        kind=row.kind,
        title=row.title,
        request=row.request,
        state=row.state,
        progress=progress,
        log=tuple(LogLine.model_validate(line) for line in row.log),
        who=row.who,
        created=row.created,
        started=row.started,
        ended=row.ended,
        bank=row.bank,
        comparison=row.comparison,
        error=row.error,
    )
