"""One server for each cache: a lock that goes away with the program that holds it, however that ends."""

import contextlib
import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from melbo_app.errors import BusyError, StorageError
from melbo_app.library.atomic import write_file


class ServerLock:
    """Held by the server that owns the jobs in ``cache``. Commands that work beside it do not take it."""

    def __init__(self, cache: Path) -> None:
        self._cache, self._note = cache, cache / "server.json"
        self._lock = FileLock(cache / "server.lock", timeout=0)

    def take(self, address: str) -> None:
        """Hold it until ``release`` or the end of this program.

        Raises:
            BusyError: another server holds it; the sentence names that one.
            StorageError: the cache cannot be written to.
        """
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"Another server works in “{self._cache}” already{self.holder}. Use that one, stop it first, or give "
                "this one a folder of its own: MELBO_CACHE_DIR."
            ) from error
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StorageError(f"“{self._cache}” cannot be locked for this server ({reason}).") from error
        data = json.dumps({"address": address, "pid": os.getpid()}).encode()
        with contextlib.suppress(StorageError):  # it is only there to be read by people
            write_file(self._note, data, overwrite=True)

    def release(self) -> None:
        """Let another server in."""
        with contextlib.suppress(OSError):  # the cache may be gone, or read-only: the system lets go of the lock itself
            self._note.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether this program holds it."""
        return self._lock.is_locked

    @property
    def holder(self) -> str:
        """“: address (process number)” of the server that holds it; empty where it does not say."""
        try:
            known = json.loads(self._note.read_text("utf-8"))
            return f": {known['address']} (process {known['pid']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
