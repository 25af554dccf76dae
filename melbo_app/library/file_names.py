"""Names of files that every system can hold, on whichever of them they are written."""

import re
import unicodedata

from melbo_app.errors import InputError
from melbo_app.quoting import readable

MOST_BYTES = 255
"""Of a file's name: what the usual file systems take."""
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{name}{n}" for name in ("com", "lpt") for n in "0123456789¹²³"
}
_SIGNS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


def fault(name: str) -> tuple[str, str] | None:
    """What keeps ``name`` from being a file's on some system, and what would be right; None where nothing does."""
    shown = readable(name)
    if name.split(".")[0].rstrip(" ").casefold() in _DEVICES:
        return f"“{shown}” is the name of a device on Windows", "Choose another name"
    if (sign := _SIGNS.search(name)) is not None:
        what = f"the character {sign.group()}" if sign.group().isprintable() else "a control character"
        return f"“{shown}” has {what} in it, which Windows cannot hold", "Use letters, digits, blanks and - _ ."
    if name.endswith((".", " ")):
        return f"“{shown}” ends in a {'dot' if name[-1] == '.' else 'blank'}, which Windows drops", "Leave it out"
    return None


def check_file_name(field: str, name: str) -> None:
    """Refuse a name that not every system can hold. Raises InputError(field, …)."""
    found = fault(name)
    if found is not None:
        raise InputError(field, *found)
    if len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        problem = f"“{readable(name)}” takes {len(name.encode('utf-8', 'surrogatepass'))} bytes"
        raise InputError(field, problem, f"Use at most {MOST_BYTES}")


def same_file(name: str) -> str:
    """The same for two names that are one to a disk without upper and lower case, or without accents apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
