"""sha256 of large files, remembered so that they are read once."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import write_file


def file_hash(path: Path, cache_dir: Path) -> str:
    """sha256 of a file, remembered under ``cache_dir`` for as long as its size and time of change stay the same.

    Raises InputError("model") where the file cannot be read.
    """
    memo = cache_dir / "models" / "hashes.json"
    try:
        stat = path.stat()
        key = [stat.st_size, stat.st_mtime_ns]
        entry = _read_memo(memo).get(str(path))
        if isinstance(entry, dict) and entry.get("key") == key and isinstance(entry.get("sha256"), str):
            return entry["sha256"]
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError("model", f"{path} cannot be read ({error.strerror})") from error
    # Another process may have added to it meanwhile; what one of two overwrites is only computed again. The same goes
    # for a memo that cannot be written: a full or read-only disk is no reason not to load a model.
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
