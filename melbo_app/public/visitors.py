"""Visitors: an address stands for a person, and is shown to nobody."""

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
    """``name`` is what others see and what jobs and labels are kept under; ``alone`` says whether it is one person's,
    as far as addresses tell."""

    name: str
    alone: bool


class Visitors:
    """Gives each address a name that does not tell it, the same after a restart."""

    def __init__(self, cache_dir: Path) -> None:
        self._key = _kept_key(cache_dir / KEY_FILE)

    def of(self, address: str) -> Visitor:
        """Whoever asks from ``address``; "" and what is not an address are all one visitor."""
        place = client_of(address)
        if not place:
            return Visitor("visitors without an address", alone=False)
        name = hashlib.blake2b(place.encode(), key=self._key, digest_size=4).hexdigest()
        return Visitor(f"visitor {name}", alone=True)


def _kept_key(path: Path) -> bytes:
    """The key of the names; where it can be neither read nor kept, one for as long as the server runs."""
    fresh = secrets.token_bytes(KEY_BYTES)
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_file(path, fresh, overwrite=False)
            path.chmod(0o600)
        known = path.read_bytes()
        return known if len(known) == KEY_BYTES else fresh
    return fresh
