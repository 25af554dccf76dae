"""One server per cache: a lock that ends with the program that holds it, however that ends."""

import contextlib
import json
import os
from pathlib import Path

from filelock import FileLock, Timeout

from melbo_app.errors import BusyError, StorageError
from melbo_app.library.atomic import write_file


class ServerLock:
    """Held by the server that owns the jobs in ``cache``. Commands that run beside it do not take the lock."""

    def __init__(self, cache: Path) -> None:
        self._cache, self._note = cache, cache / "server.json"
        self._lock = FileLock(cache / "server.lock", timeout=0)

    def take(self, address: str) -> None:
        """Hold the lock until ``release`` or the end of this program. Raises BusyError, naming the server that holds
        it, and StorageError if the cache cannot be written to."""
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"Another server already uses “{self._cache}”{self.holder}. Use that one, stop it first, or give this "
                "one its own folder: MELBO_CACHE_DIR."
            ) from error
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StorageError(f"“{self._cache}” cannot be locked for this server ({reason}).") from error
        data = json.dumps({"address": address, "pid": os.getpid()}).encode()
        with contextlib.suppress(StorageError):  # only for the message to people
            write_file(self._note, data, overwrite=True)

    def release(self) -> None:
        """Release the lock for another server."""
        with contextlib.suppress(OSError):  # the cache may be gone or read-only: the system releases the lock itself
            self._note.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether this program holds it."""
        return self._lock.is_locked

    @property
    def holder(self) -> str:
        """“: address (process number)” of the server that holds the lock; empty if unknown."""
        try:
            known = json.loads(self._note.read_text("utf-8"))
            return f": {known['address']} (process {known['pid']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
