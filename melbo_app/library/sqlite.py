"""What is true of SQLite alone, the database that comes along. Nothing elsewhere knows which one is used."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Engine, create_engine, event, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

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
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS}, json_deserializer=read_json)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # Python's driver begins too late; _begin does it
        connection.text_factory = _text
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


def hold_open(path: Path) -> sqlite3.Connection | None:
    """A connection that does nothing but keep the file's log in place: whoever closes the last one writes the log back,
    which would make each transaction wait for the disk five times instead of once. None where that cannot be."""
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
        "not a database": "is not a SQLite database. Move it away; a new one is made in its place.",
        "malformed": "is damaged. Move it away; a new one is made in its place.",
        "disk i/o error": "could not be read or written by the disk; nothing was stored. Check the disk and try again.",
    }
    return next((words for sign, words in known.items() if sign in reason.lower()), None)
