"""How much may still be written to a disk: what is free, less a reserve for labels and texts."""

import shutil
from contextlib import suppress
from pathlib import Path

from melbo_app.errors import StorageError
from melbo_app.sizes import size_text

RESERVE = 300_000_000
"""Bytes that only small files and the database may take, so that files do not end the work by hand: 300,000 texts and
60,000 labels more (of ``benchmarks/library.py``, a third of it takes 104 MB)."""
SHARE = 0.1
"""Of a small disk, what the reserve is instead: a disk of 150 MB would hold no file at all."""
SMALL = 1_000_000
"""Bytes of a file that may use the reserve: settings, a bank of the bundled model, a list of labels."""


def room(folder: Path) -> int:
    """Bytes that large files may take on the disk that holds ``folder``, which need not exist yet. Raises OSError."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    disk = shutil.disk_usage(there)
    return max(0, disk.free - min(RESERVE, int(SHARE * disk.total)))


def check_room(
    folder: Path, size: int, what: str, remedy: str = "Make room and try again", *, small: int = SMALL
) -> None:
    """Refuse ``size`` bytes in ``folder`` that would take of the reserve, unless they are ``small``.

    The sentence begins with ``what``.
    A disk that does not say how full it is refuses by itself what it cannot hold. Raises StorageError.
    """
    with suppress(OSError):
        if size > small and size > (have := room(folder)):
            raise StorageError(
                f"{what} needs {size_text(size)}, and {size_text(have)} may be used on the disk of “{folder}”: the "
                f"rest is kept free for labels and texts. {remedy}."
            )
