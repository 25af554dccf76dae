"""Everything specific to SQLite, the bundled database. No other module knows which database is used."""

import os
import sqlite3
from collections.abc import Callable, Sequence
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
    """A JSON column to query inside: NULL in rows with invalid JSON, so that the query finds the other rows."""

    type = JSON()
    inherit_cache = True


@compiles(sound_json)
def _as_it_is(element: sound_json, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)  # other databases store only valid JSON in such a column


@compiles(sound_json, "sqlite")
def _where_it_is_one(element: sound_json, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"CASE WHEN json_valid({column}) THEN {column} END"


def make_engine(path: Path, read_json: Callable[[str | bytes], Any]) -> Engine:
    """An engine for the file ``path``; connections with the option ``writes`` take turns."""
    # No pool: a connection could outlive the file and write to a deleted one.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, creator=lambda: _open(path), json_deserializer=read_json)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.text_factory = _text
        if not _only_read(path):
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer locks at once: SQLite refuses, without waiting, a reader that starts to write later.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _text(data: bytes) -> str | bytes:
    """Bytes for invalid text, so that the driver does not refuse all rows because of a damaged one."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _open(path: Path, how: str = "") -> sqlite3.Connection:
    """A connection without transactions of its own: Python's driver would begin them too late, ``_begin`` does it."""
    how = "?immutable=1" if _only_read(path) else how
    return sqlite3.connect(path.absolute().as_uri() + how, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _only_read(path: Path) -> bool:
    """Whether the file is in a read-only folder without a log, which SQLite would otherwise create even to read."""
    return path.exists() and not os.access(path.parent, os.W_OK) and not _beside(path, "-wal").exists()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def files_of(path: Path) -> list[Path]:
    """The existing ones of the file and those that SQLite puts beside it."""
    return [one for one in (path, _beside(path, "-wal"), _beside(path, "-shm")) if one.exists()]


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even the log beside the file. Raises sqlite3.Error."""
    return _open(path, "?mode=ro")


def faults_of(path: Path) -> list[str]:
    """The faults of a file that no engine has open, in SQLite's words; empty if it is sound. Raises StorageError if
    another program locks the file."""
    try:
        with closing(open_to_read(path)) as connection:
            return _check(lambda statement: connection.execute(statement).fetchall())
    except sqlite3.Error as error:
        reason = " ".join(str(error).split())
        if is_damage(reason):
            return [reason]
        raise StorageError(f"“{path}” could not be checked ({reason}).") from error


def faults(connection: Connection) -> list[str]:
    """The faults of the connection's file, in SQLite's words; empty if it is sound."""
    return _check(lambda statement: connection.execute(text(statement)).all())


def _check(execute: Callable[[str], Sequence[Any]]) -> list[str]:
    found = [row[0] for row in execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
    loose = execute("PRAGMA foreign_key_check")[:10]
    return found + [f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in loose]


def count_of(path: Path, table: str) -> int:
    """The number of rows of a table in the file ``path``; 0 if it cannot be read."""
    try:
        with closing(open_to_read(path)) as connection:
            return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
    except sqlite3.Error:
        return 0


def is_damage(reason: str) -> bool:
    """Whether SQLite's error means that the file is damaged."""
    return any(sign in reason.lower() for sign in ("not a database", "malformed"))


def copy(engine: Engine, out: Path) -> None:
    """Write a snapshot of the database to the new file ``out``; others can read and write meanwhile."""
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # ends what _begin began
        connection.exec_driver_sql("VACUUM INTO ?", (str(out),))


def hold_open(path: Path) -> sqlite3.Connection | None:
    """An idle connection that keeps the file's log open, or None if the file cannot be opened. Closing the last
    connection writes the log back, so that each transaction would wait for the disk five times."""
    if _only_read(path):
        return None
    try:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return None
    return connection


def numbered_format(connection: Connection) -> int:
    """The format number in the file's header, which the first versions check."""
    return connection.execute(text("PRAGMA user_version")).scalar_one()


def number_format(connection: Connection, number: int) -> None:
    """Set the format number in the file's header."""
    connection.execute(text(f"PRAGMA user_version={number}"))


def used_bytes(connection: Connection) -> int:
    """Bytes of the rows as the connection's transaction sees them, without deleted ones."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names)
    return (pages - free) * size


def compact(engine: Engine) -> None:
    """Free the disk space of deleted rows. Needs as much free space as the rows take."""
    with engine.connect() as connection:
        for statement in ("COMMIT", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):  # the first ends what _begin began
            connection.exec_driver_sql(statement)


def sentence(reason: str) -> str | None:
    """The end of the sentence “The database …” for SQLite's error ``reason``, with the remedy; None if unknown."""
    known = {
        "locked": f"has been in use by another program for {BUSY_SECONDS:.0f} seconds; nothing was stored. "
        "Close that program and try again.",
        "full": "has no room to grow: the disk is full; nothing was stored. Make room and try again.",
        "readonly": "cannot be written to; nothing was stored. Make it and its folder writable, "
        "or set MELBO_CACHE_DIR to a folder that is.",
        "unable to open": "cannot be opened. Check that its folder is writable, or set MELBO_CACHE_DIR to one that is.",
        "not a database": "is not a SQLite database.",
        "malformed": "is damaged.",
        "disk i/o error": "could not be read or written; nothing was stored. Check the disk and try again.",
    }
    return next((words for sign, words in known.items() if sign in reason.lower()), None)
