"""sha256 of large files, cached so that each is read once."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from melbo_app.engine.stopping import Stop, never, raise_if
from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import write_file

BLOCK = 2**20


def file_hash(path: Path, cache_dir: Path, stop: Stop = never) -> str:
    """sha256 of a file, cached under ``cache_dir`` while its size and modification time stay the same. Raises
    InputError("model") if the file cannot be read, and Stopped."""
    memo = cache_dir / "models" / "hashes.json"
    try:
        stat = path.stat()
        key = [stat.st_size, stat.st_mtime_ns]
        entry = _read_memo(memo).get(str(path))
        if isinstance(entry, dict) and entry.get("key") == key and isinstance(entry.get("sha256"), str):
            return entry["sha256"]
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(BLOCK):
                raise_if(stop)
                digest.update(block)
            sha256 = digest.hexdigest()
    except OSError as error:
        raise InputError("model", f"{path} cannot be read ({error.strerror})") from error
    # If two processes write at once, or the disk is full or read-only, a hash is lost and computed again.
    entries = _read_memo(memo) | {str(path): {"key": key, "sha256": sha256}}
    with suppress(OSError, StorageError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_file(memo, json.dumps(entries, indent=1).encode(), overwrite=True)
    return sha256


def _read_memo(memo: Path) -> dict[str, object]:
    try:
        known = json.loads(memo.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
