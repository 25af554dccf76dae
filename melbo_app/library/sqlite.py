"""What is true of SQLite alone, the database that comes along. Nothing elsewhere knows which one is used."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Engine, create_engine, event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from melbo_app.errors import StorageError

BUSY_SECONDS = 20.0


class sound_json(GenericFunction[Any]):
    """A column of JSON whose parts are looked into: NULL where a row holds none, so that the other rows are found."""

    type = JSON()
    inherit_cache = True


@compiles(sound_json)
def _as_it_is(element: sound_json, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)  # other databases keep nothing else in such a column


@compiles(sound_json, "sqlite")
def _where_it_is_one(element: sound_json, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"CASE WHEN json_valid({column}) THEN {column} END"


def make_engine(path: Path, read_json: Callable[[str | bytes], Any]) -> Engine:
    """An engine for the file ``path``; its connections with the option ``writes`` take turns."""
    # No pool: a connection that outlives the file would write to a deleted one.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, creator=lambda: _open(path), json_deserializer=read_json)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # Python's driver begins too late; _begin does it
        connection.text_factory = _text
        if not _only_read(path):
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its turn at once: a reader that starts to write later is refused without waiting.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _text(data: bytes) -> str | bytes:
    """The driver would refuse all rows for one that is damaged: its bytes are no text, and its record names it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _open(path: Path) -> sqlite3.Connection:
    how = "?immutable=1" if _only_read(path) else ""
    return sqlite3.connect(_uri(path) + how, uri=True, timeout=BUSY_SECONDS)


def _only_read(path: Path) -> bool:
    """Whether the file lies where nothing can be written, and no log beside it. SQLite would make one even to read."""
    return path.exists() and not os.access(path.parent, os.W_OK) and not _beside(path, "-wal").exists()


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def files_of(path: Path) -> list[Path]:
    """The file and those that SQLite keeps beside it, as far as they are there."""
    return [one for one in (path, _beside(path, "-wal"), _beside(path, "-shm")) if one.exists()]


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even the log beside the file. Raises sqlite3.Error."""
    how = "?immutable=1" if _only_read(path) else "?mode=ro"
    return sqlite3.connect(_uri(path) + how, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def faults_of(path: Path) -> list[str]:
    """What is broken inside a file that no engine has open, in SQLite's words; empty where nothing is.

    Raises StorageError where it cannot be told: another program holds the file.
    """
    try:
        with closing(open_to_read(path)) as connection:
            found = [line for (line,) in connection.execute("PRAGMA integrity_check(10)") if line != "ok"]
            loose = connection.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.Error as error:
        reason = " ".join(str(error).split())
        if is_damage(reason):
            return [reason]
        raise StorageError(f"“{path}” could not be checked ({reason}).") from error
    return found + [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is missing" for row in loose[:10]]


def count_of(path: Path, table: str) -> int:
    """How many rows a table of the file ``path`` has; 0 where it cannot be read."""
    try:
        with closing(open_to_read(path)) as connection:
            return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
    except sqlite3.Error:
        return 0


def is_damage(reason: str) -> bool:
    """Whether what SQLite says means that the file is broken."""
    return any(sign in reason.lower() for sign in ("not a database", "malformed"))


def copy(engine: Engine, out: Path) -> None:
    """Write all that the database holds to the new file ``out``, as it is at one moment; others read and write on."""
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # ends what _begin began
        connection.exec_driver_sql("VACUUM INTO ?", (str(out),))


def hold_open(path: Path) -> sqlite3.Connection | None:
    """A connection that does nothing but keep the file's log in place: whoever closes the last one writes the log back,
    which would make each transaction wait for the disk five times instead of once. None where that cannot be."""
    if _only_read(path):
        return None
    try:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return None
    return connection


def numbered_format(connection: Connection) -> int:
    """The format in the file's own mark: the first versions knew no other one, and refuse a file by it."""
    return connection.execute(text("PRAGMA user_version")).scalar_one()


def number_format(connection: Connection, number: int) -> None:
    """Set that mark."""
    connection.execute(text(f"PRAGMA user_version={number}"))


def used_bytes(connection: Connection) -> int:
    """Bytes that the rows take, as the connection's transaction sees them; what was deleted does not count."""
    pages, free, size = (
        connection.execute(text(f"PRAGMA {name}")).scalar_one()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def faults(connection: Connection) -> list[str]:
    """What is broken inside the file, in SQLite's words; empty where nothing is."""
    found = [line for (line,) in connection.execute(text("PRAGMA integrity_check(10)")) if line != "ok"]
    loose = connection.execute(text("PRAGMA foreign_key_check")).all()
    return found + [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is missing" for row in loose[:10]]


def compact(engine: Engine) -> None:
    """Give the room of deleted rows back to the disk. It needs as much free room as the rows take."""
    with engine.connect() as connection:
        for statement in ("COMMIT", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):  # the first ends what _begin began
            connection.exec_driver_sql(statement)


def sentence(reason: str) -> str | None:
    """What happened and what to do, where SQLite says ``reason``: the end of “The database … ”."""
    known = {
        "locked": f"is in use by another program for more than {BUSY_SECONDS:.0f} seconds; nothing was stored. "
        "Close that program and try again.",
        "full": "has no room to grow: the disk is full; nothing was stored. Make room and try again.",
        "readonly": "cannot be written to; nothing was stored. Make it and its folder writable, "
        "or set MELBO_CACHE_DIR to a folder that is.",
        "unable to open": "cannot be opened. Check that its folder can be written to, "
        "or set MELBO_CACHE_DIR to one that can.",
        "not a database": "is not a SQLite database.",
        "malformed": "is damaged.",
        "disk i/o error": "could not be read or written by the disk; nothing was stored. Check the disk and try again.",
    }
    return next((words for sign, words in known.items() if sign in reason.lower()), None)
