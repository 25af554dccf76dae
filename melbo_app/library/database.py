"""The database: opened or created on first use, used in transactions; every refusal is a sentence."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Engine, Select, create_engine, event, text
from sqlalchemy.engine import URL, Connection, Dialect, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from melbo_app.errors import InputError, StorageError
from melbo_app.library import migrations, sqlite
from melbo_app.library.atomic import make_folder
from melbo_app.library.backups import Backups
from melbo_app.library.damage import Kept, Listed, read_each

WRITERS_TURN = 6_351_263  # PostgreSQL's name for the lock: arbitrary, but constant


class Moment(TypeDecorator[datetime]):
    """A datetime with a time zone, stored as UTC because SQLite drops the zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        read = super().result_processor(dialect, coltype)
        assert read is not None

        def read_or_pass_on(value: Any) -> Any:
            try:
                return read(value)
            except (ValueError, TypeError, AttributeError):
                return value  # damaged: the record's own type refuses it, and the other rows are still read

        return read_or_pass_on


class Unreadable:
    """Stands for invalid JSON: every record's type refuses it, and the other rows are still read."""


def read_json(text: str | bytes) -> Any:
    """A value stored as JSON, or ``Unreadable``."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Unreadable()


class Table(DeclarativeBase):
    """Base class of the tables."""


class Database:
    """The database in the file ``path``, or at ``url``. It is opened or created by the first session. Thread-safe; each
    session belongs to the thread that opened it."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path: Path | None = path
        address = _address(url) if url else None
        if address is not None and address.get_backend_name() == "sqlite":
            self.path, address = Path(address.database or path), None
        if address is None:
            self._engine, self.place = sqlite.make_engine(self.path, read_json), str(self.path)
        else:
            self._engine, self.place, self.path = _server_engine(address), str(address), None  # without the password
        self._writer = self._engine.execution_options(writes=True)
        self.backups = Backups(self.path, path.parent / "backups")
        self._lock, self._ready = threading.Lock(), False
        self._held: Any = None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading. Raises StorageError."""
        with self._sentences():
            self._prepare()
            with Session(self._engine) as session:
                yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that is committed at the end, or rolled back on any error. Raises StorageError."""
        with self._sentences():
            self._prepare()
            with Session(self._writer) as session, session.begin():
                yield session

    def close(self) -> None:
        """Release the file or the server; the next session opens it again."""
        self._engine.dispose()
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held, self._ready = None, False

    def faults(self) -> list[str]:
        """Faults that SQLite finds in the database; empty on a database server. Raises StorageError."""
        if self.path is None:
            return []
        with self.read() as session:
            return sqlite.faults(session.connection())

    def compact(self) -> None:
        """Free the disk space of deleted rows. Raises StorageError."""
        if self.path is not None:
            with self._sentences():
                sqlite.compact(self._engine)

    def copy(self, out: Path) -> None:
        """Copy an SQLite database to the new file ``out``. Raises StorageError."""
        with self._sentences():
            sqlite.copy(self._engine, out)

    def _prepare(self) -> None:
        """Make missing tables, also when somebody empties the cache of a running app."""
        with self._lock:
            if self._ready and (self.path is None or self.path.exists()):
                return
            if self.path is not None:
                make_folder(self.path.parent)
            with self._engine.connect() as connection:
                is_newest = self._format(connection) == migrations.NEWEST
            if not is_newest:
                with self._writer.begin() as connection:
                    found = self._format(connection)  # again, now that no other process can intervene
                    if found != migrations.NEWEST:
                        migrations.upgrade(connection, made=0 if migrations.format_of(connection) else found)
                        if self.path is not None:
                            sqlite.number_format(connection, migrations.NEWEST)
            if self.path is not None:
                self._held = sqlite.hold_open(self.path)
            self._ready = True

    def _format(self, connection: Connection) -> int:
        """The format of the tables, 0 without any. Raises StorageError if a newer version made them."""
        noted = migrations.format_of(connection)
        if noted is None:
            noted = str(sqlite.numbered_format(connection) if self.path is not None else 0)
        if not (noted.isdecimal() and int(noted) <= migrations.NEWEST):
            raise StorageError(
                f"The database “{self.place}” was made by another version of MELBO Explorer (format {noted}, here "
                f"{migrations.NEWEST}). Use that version, or move the file away; a new one will replace it."
            )
        return int(noted)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            # The subclasses (a broken constraint, a wrong statement) are bugs and must show.
            if type(error) not in (DatabaseError, OperationalError):
                raise
            reason = " ".join(str(error.orig).split())
            sentence = sqlite.sentence(reason) if self.path is not None else None
            sentence = sentence or f"could not be used ({reason}); nothing was stored."
            if self.path is not None and sqlite.is_damage(reason):
                sentence += f" {self.backups.advice}"
            raise StorageError(f"The database “{self.place}” {sentence}") from error


class InDatabase:
    """Records in ``database``. Every method raises StorageError if the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _each(self, wanted: Select[Any], read: Callable[[Any], Kept], subject: Callable[[Any], str]) -> Listed[Kept]:
        """The rows that ``wanted`` selects, as ``read_each``."""
        with self._database.read() as session:
            return read_each(session.scalars(wanted), read, subject)


def _address(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        remedy = "Write postgresql+psycopg://user:password@host/database"
        raise InputError("MELBO_DATABASE_URL", "it is not the address of a database", remedy) from error


def _server_engine(address: URL) -> Engine:
    """An engine for a database server. Raises InputError if its driver is not installed."""
    try:
        engine = create_engine(address, pool_pre_ping=True, json_deserializer=read_json)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        problem = f"the driver “{address.drivername}” is not installed"
        raise InputError("MELBO_DATABASE_URL", problem, "For PostgreSQL: pip install 'psycopg[binary]'") from error

    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # Writers take turns, as in SQLite: what one of them read is still true when it writes.
            if connection.get_execution_options().get("writes", False):
                connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": WRITERS_TURN})

    return engine
