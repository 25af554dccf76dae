"""Visitors: an address stands for a person, and nobody gets to see it."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from melbo_app.errors import StorageError
from melbo_app.hosts import client_of
from melbo_app.library.atomic import write_file

KEY_FILE, KEY_BYTES = "visitors.key", 32


@dataclass(frozen=True)
class Visitor:
    """``name`` is visible to others and stored with jobs and labels; ``alone`` says whether, going by the address, it
    belongs to one person."""

    name: str
    alone: bool


class Visitors:
    """Gives each address a name that does not reveal it and stays the same after a restart."""

    def __init__(self, cache_dir: Path) -> None:
        self._key = _kept_key(cache_dir / KEY_FILE)

    def of(self, address: str) -> Visitor:
        """The visitor at ``address``; "" and invalid addresses all mean the same visitor."""
        place = client_of(address)
        if not place:
            return Visitor("visitors without an address", alone=False)
        name = hashlib.blake2b(place.encode(), key=self._key, digest_size=4).hexdigest()
        return Visitor(f"visitor {name}", alone=True)


def _kept_key(path: Path) -> bytes:
    """The secret key of the names; if it cannot be stored, a new one for this run of the server."""
    fresh = secrets.token_bytes(KEY_BYTES)
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_file(path, fresh, overwrite=False)
            path.chmod(0o600)
        known = path.read_bytes()
        return known if len(known) == KEY_BYTES else fresh
    return fresh
