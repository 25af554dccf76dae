"""File names that are valid on every operating system, whichever one writes them."""

import re
import unicodedata
from pathlib import Path

from melbo_app.errors import InputError
from melbo_app.quoting import readable

MOST_BYTES = 255
"""Longest file name of the usual file systems."""
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{name}{n}" for name in ("com", "lpt") for n in "0123456789¹²³"
}
_SIGNS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


def first_words(text: str, otherwise: str) -> str:
    """The beginning of a text as a part of a name, such as ``how-can-i-make``; ``otherwise`` where it has no words."""
    return "-".join(re.findall(r"\w+", text.lower())[:4])[:40] or otherwise


def fault(name: str) -> tuple[str, str] | None:
    """Why some system cannot hold a file called ``name``, and the remedy; None if every system can."""
    shown = readable(name)
    if name.split(".")[0].rstrip(" ").casefold() in _DEVICES:
        return f"“{shown}” is the name of a device on Windows", "Choose another name"
    if (sign := _SIGNS.search(name)) is not None:
        what = f"the character {sign.group()}" if sign.group().isprintable() else "a control character"
        return f"“{shown}” contains {what}, which Windows does not allow", "Use letters, digits, spaces and - _ ."
    if name.endswith((".", " ")):
        return f"“{shown}” ends in a {'dot' if name[-1] == '.' else 'space'}, which Windows drops", "Leave it out"
    return None


def check_file_name(field: str, name: str) -> None:
    """Raises InputError(field, …) for a name that some system cannot hold."""
    found = fault(name)
    if found is not None:
        raise InputError(field, *found)
    if len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        problem = f"“{readable(name)}” takes {len(name.encode('utf-8', 'surrogatepass'))} bytes"
        raise InputError(field, problem, f"Use at most {MOST_BYTES}")


def same_file(name: str) -> str:
    """Equal for two names that a disk may take for one: without case, or with accents composed or decomposed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def exists_already(out: Path) -> InputError:
    """The refusal to overwrite ``out``."""
    return InputError("file", f"“{out}” already exists", "Choose another name, or allow overwriting")
