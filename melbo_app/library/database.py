"""The database of comparisons, completions and labels: one SQLite file, made on first use."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, DateTime, Engine, ForeignKey, String, Text, UniqueConstraint, create_engine, event, text
from sqlalchemy.engine import URL, Connection, Dialect
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from melbo_app.errors import StorageError

SCHEMA = 2
UPGRADES = {1: "ALTER TABLE completions ADD COLUMN scores JSON"}
"""What leads from each earlier schema to the next."""
BUSY_SECONDS = 20.0


class Moment(TypeDecorator[datetime]):
    """A datetime with a time zone, kept as UTC: SQLite itself forgets the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Table(DeclarativeBase):
    """Base of the tables."""


class ComparisonRow(Table):
    """One press of Steer."""

    __tablename__ = "comparisons"

    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime] = mapped_column(Moment)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    completions: Mapped[list["CompletionRow"]] = relationship(
        order_by="CompletionRow.position", cascade="all, delete-orphan"
    )


class CompletionRow(Table):
    """One generated text. ``kind`` is baseline, random or vector; ``key`` is the sha256 of all that determines it."""

    __tablename__ = "completions"

    id: Mapped[int] = mapped_column(primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    key: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    bank: Mapped[str | None] = mapped_column(String(200))
    bank_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    vector: Mapped[int | None]
    radius: Mapped[float]
    source: Mapped[int | None]
    prompt: Mapped[dict[str, Any]] = mapped_column(JSON)
    prompt_index: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int]
    finished: Mapped[bool]
    model: Mapped[str] = mapped_column(Text)
    model_hash: Mapped[str] = mapped_column(String(64))
    dtype: Mapped[str | None] = mapped_column(String(20))
    max_new_tokens: Mapped[int]
    temperature: Mapped[float]
    top_p: Mapped[float]
    seed: Mapped[int]
    created: Mapped[datetime] = mapped_column(Moment)
    scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class LabelRow(Table):
    """What a person says about one vector."""

    __tablename__ = "labels"
    __table_args__ = (UniqueConstraint("bank_hash", "vector"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    bank: Mapped[str] = mapped_column(String(200))
    bank_hash: Mapped[str] = mapped_column(String(64))
    vector: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))
    rating: Mapped[int | None]
    note: Mapped[str] = mapped_column(Text)
    updated: Mapped[datetime] = mapped_column(Moment)
    tags: Mapped[list["TagRow"]] = relationship(order_by="TagRow.tag", cascade="all, delete-orphan", lazy="selectin")


class TagRow(Table):
    """One tag of one label."""

    __tablename__ = "tags"

    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class Database:
    """The database in the file ``path``. Nothing is opened or made before the first session.

    Sessions belong to the thread that opened them; the object itself may be used by many threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _sqlite_engine(path)
        self._writer = self._engine.execution_options(writes=True)
        self._lock, self._ready = threading.Lock(), False

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for looking up. Raises StorageError."""
        with self._sentences():
            self._prepare()
            with Session(self._engine) as session:
                yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that is committed at the end, or undone whole on any error. Raises StorageError."""
        with self._sentences():
            self._prepare()
            with Session(self._writer) as session, session.begin():
                yield session

    def _prepare(self) -> None:
        """Make the file and its tables where they are missing, also when the cache is emptied under a running app."""
        with self._lock:
            if self._ready and self.path.exists():
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"The folder “{self.path.parent}” cannot be made ({error.strerror}).") from error
            with self._writer.begin() as connection:
                _check_schema(connection, self.path)
                Table.metadata.create_all(connection)
            self._ready = True

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            # The other kinds (a broken constraint, a wrong statement) are mistakes in the program: let them be seen.
            if type(error) not in (DatabaseError, OperationalError):
                raise
            raise StorageError(_sentence(self.path, str(error.orig))) from error


def _sentence(path: Path, reason: str) -> str:
    """What happened to the database in ``path``, and what to do, where its driver says ``reason``."""
    known = {
        "locked": f"is in use by another program for more than {BUSY_SECONDS:.0f} seconds; nothing was stored. "
        "Close that program and try again.",
        "full": "has no room to grow: the disk is full; nothing was stored. Make room and try again.",
        "readonly": "cannot be written to; nothing was stored. Make it and its folder writable, "
        "or set MELBO_CACHE_DIR to a folder that is.",
        "unable to open": "cannot be opened. Check that its folder can be written to, "
        "or set MELBO_CACHE_DIR to one that can.",
        "not a database": "is not a SQLite database. Move it away; a new one is made in its place.",
        "malformed": "is damaged. Move it away; a new one is made in its place.",
        "disk i/o error": "could not be read or written by the disk; nothing was stored. Check the disk and try again.",
    }
    for sign, sentence in known.items():
        if sign in reason.lower():
            return f"The database “{path}” {sentence}"
    return f"The database “{path}” could not be used ({reason}); nothing was stored."


# Everything below is for SQLite alone; with another engine in place of this one, the rest stays as it is.


def _sqlite_engine(path: Path) -> Engine:
    # No pool: a connection that outlives the file would write to a deleted one.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # Python's driver begins too late; _begin does it
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its turn at once: a reader that starts to write later is refused without waiting.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_schema(connection: Connection, path: Path) -> None:
    """Bring an older file up to date and note the schema's version; raise StorageError where a newer one made it."""
    found = connection.execute(text("PRAGMA user_version")).scalar_one()
    if 0 <= found <= SCHEMA:
        for version in range(found, SCHEMA) if found else ():
            connection.execute(text(UPGRADES[version]))
        connection.execute(text(f"PRAGMA user_version={SCHEMA}"))
    else:
        raise StorageError(
            f"The database “{path}” was made by another version of MELBO Explorer (format {found}, here {SCHEMA}). "
            "Use that version, or move the file away; a new one is made in its place."
        )
