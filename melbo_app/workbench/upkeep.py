"""Use cases of keeping the library whole: copies of the database, going back to one, and what a server does alone."""

import math
import time
from collections.abc import Callable
from typing import NoReturn

from melbo_app.errors import BusyError, MelboError
from melbo_app.library.catalogue import Repaired
from melbo_app.library.restoring import Restored, check_is_file, restore
from melbo_app.library.server_lock import ServerLock
from melbo_app.workbench.base import Base

COPY_EVERY, COPY_AGAIN = 24 * 3600.0, 3600.0
"""Seconds from one copy of the database to the next, and after one that failed."""
TURN = 30.0
"""Seconds between two looks at what is due."""


class Upkeep(Base):
    """Repairing, copying and restoring."""

    _copy_due = -math.inf

    def repair_catalogue(self) -> Repaired:
        """Enter banks whose files came while no program could note it, and forget those whose files are gone."""
        return self._catalogue.repair(self._banks.files(), self._banks.folder)

    def copy_database(self) -> str | None:
        """Copy the database where it changed; the day of the copy, None where there was nothing to copy."""
        made = self._database.backups.make(self._database)
        return None if made is None else made.day

    def restore_library(self, copy: str | None = None) -> Restored:
        """Go back to a copy of the database, or to the newest sound one, saving what can be read of newer labels.

        Raises BusyError while a server uses it.
        """
        check_is_file(self._database)
        lock = ServerLock(self.settings.cache_dir)
        try:
            lock.take("library restore")
        except BusyError as error:
            problem = f"A server uses this database{lock.holder}."
            raise BusyError(f"{problem} Stop it (Ctrl+C), restore, and start it again.") from error
        try:
            restored = restore(self._database, copy)
            self._catalogue.refresh(self._banks.files())
        finally:
            lock.release()
        return restored

    def look_after(self, say: Callable[[str], None]) -> NoReturn:
        """Repair the catalogue, and do what is due from time to time, for as long as the server runs. ``say`` gets a
        line for what was put right and for what could not be done."""
        try:
            for line in self.repair_catalogue().lines():
                say(line)
        except MelboError as error:
            say(f"The catalogue was not looked through: {error}")
        while True:
            self.do_what_is_due(say)
            time.sleep(TURN)

    def do_what_is_due(self, say: Callable[[str], None]) -> None:
        """Copy the database, now and then once a day."""
        if time.monotonic() < self._copy_due:
            return
        try:
            self.copy_database()
            self._copy_due = time.monotonic() + COPY_EVERY
        except MelboError as error:
            self._copy_due = time.monotonic() + COPY_AGAIN
            say(f"No copy of the database was made: {error}")
