"""Migrations of the database, one file per step in ``versions/``: ``v3_….py`` leads to format 3.

Published steps are never changed. New ones are written by hand; a test compares their result with ``tables.py``.
"""

import re
import threading
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

FOLDER = Path(__file__).parent
NEWEST = max(int(found[1]) for path in (FOLDER / "versions").iterdir() if (found := re.match(r"v(\d+)_", path.name)))
_ONE_AT_A_TIME = threading.Lock()  # Alembic keeps its state in global variables


def format_of(connection: Connection) -> str | None:
    """The format of the tables as noted by Alembic; None if it did not make them."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, made: int = 0) -> None:
    """Upgrade the tables to the newest format, inside the connection's transaction. ``made`` is the format of tables
    that Alembic did not make."""
    from alembic import command  # slow to import, and needed once in a database's life
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _ONE_AT_A_TIME:
        if made:
            command.stamp(config, str(made))
        command.upgrade(config, "head")
