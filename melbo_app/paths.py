"""Paths as people write them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from melbo_app.errors import InputError

_FOLDERS = re.compile(r"(?<![\w/.:~-])(?:~?/(?:[\w.@+~-]+/)+|[A-Za-z]:\\(?:[\w.@+~-]+\\)+)")
_UNKNOWN = re.compile(r"\$(\w+|\{[^}]*\})")


def expanded(text: str) -> str:
    """``text`` with known variables ($HOME, ${HOME}) and home folders (~, ~name) expanded."""
    return os.path.expanduser(os.path.expandvars(text))


def written_path(text: str) -> Path:
    """The path ``text`` with variables and home folders expanded. Raises InputError for an unset variable or unknown
    user, which would otherwise make a folder called ``~`` or ``$HOME``, unless a file has exactly this name."""
    path = expanded(text)
    unknown = _UNKNOWN.search(path)
    if (unknown or path.startswith("~")) and not os.path.lexists(path):
        what = (
            f"the variable {unknown[0]} is not set" if unknown else f"the user {path.split(os.sep)[0]} does not exist"
        )
        raise InputError("path", f"“{text}” cannot be read: {what}", "Write the path in full")
    return Path(path)


def absolute(path: Path) -> Path:
    """``path`` as an absolute path. ``..`` is resolved on the disk, since the folder before it may be a link."""
    return path.resolve() if ".." in path.parts else path.absolute()


def without_folders(text: str, known: Iterable[str] = ()) -> str:
    """``text`` with each path cut down to its last part, and paths in a ``known`` folder relative to it. Nested known
    folders must come longest first. Other folders are only found if their names have no spaces."""
    if "/" not in text and "\\" not in text:
        return text
    for folder in known:
        text = re.sub(re.escape(folder) + r"(?:/|\\|(?![\w.-]))", "", text)
    return _FOLDERS.sub("", text)
