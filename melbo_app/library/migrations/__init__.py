"""The history of the database's tables, a step each in ``versions/``: ``v3_….py`` leads to the format 3.

A step that was published is never changed. A new one is written by hand beside the others; a test compares what all of
them make with the tables as the program describes them.
"""

import re
import threading
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

FOLDER = Path(__file__).parent
NEWEST = max(int(found[1]) for path in (FOLDER / "versions").iterdir() if (found := re.match(r"v(\d+)_", path.name)))
_ONE_AT_A_TIME = threading.Lock()  # Alembic keeps what it works on in global variables


def format_of(connection: Connection) -> str | None:
    """The format of the tables, as Alembic noted it; None where it never saw them."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, made: int = 0) -> None:
    """Bring the tables to the newest format, inside the connection's transaction.

    ``made`` is the format of tables that Alembic did not make.
    """
    from alembic import command  # takes a moment to import, and is needed once in a database's life
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _ONE_AT_A_TIME:
        if made:
            command.stamp(config, str(made))
        command.upgrade(config, "head")
