"""How much may still be written to a disk: its free space, less a reserve for labels and texts."""

import shutil
from contextlib import suppress
from pathlib import Path

from melbo_app.errors import StorageError
from melbo_app.sizes import size_text

RESERVE = 300_000_000
"""Bytes reserved for small files and the database, so that large files do not end the work by hand: enough for 300,000
texts and 60,000 labels (a third of this takes 104 MB in ``benchmarks/library.py``)."""
SHARE = 0.1
"""The reserve of a small disk, as a share of it: otherwise a disk of 150 MB could hold no file at all."""
SMALL = 1_000_000
"""Bytes of the largest file that may use the reserve: settings, a bank of the bundled model, a list of labels."""


def room(folder: Path) -> int:
    """Bytes available to large files on the disk of ``folder``, which need not exist yet. Raises OSError."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    disk = shutil.disk_usage(there)
    return max(0, disk.free - min(RESERVE, int(SHARE * disk.total)))


def check_room(
    folder: Path, size: int, what: str, remedy: str = "Make room and try again", *, small: int = SMALL
) -> None:
    """Raises StorageError, beginning with ``what``, if ``size`` bytes in ``folder`` would use the reserve. Files up to
    ``small`` bytes may use it. A disk that does not report its free space will refuse by itself."""
    with suppress(OSError):
        if size > small and size > (have := room(folder)):
            raise StorageError(
                f"{what} needs {size_text(size)}, but only {size_text(have)} are available on the disk of “{folder}”: "
                f"the rest is reserved for labels and texts. {remedy}."
            )
