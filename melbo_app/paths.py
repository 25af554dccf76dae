"""Paths as people write them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from melbo_app.errors import InputError

_FOLDERS = re.compile(r"(?<![\w/.:~-])(?:~?/(?:[\w.@+~-]+/)+|[A-Za-z]:\\(?:[\w.@+~-]+\\)+)")
_UNKNOWN = re.compile(r"\$(\w+|\{[^}]*\})")


def expanded(text: str) -> str:
    """``text`` with variables ($HOME, ${HOME}) and home folders (~, ~name) put in, as far as they are known."""
    return os.path.expanduser(os.path.expandvars(text))


def written_path(text: str) -> Path:
    """The path that ``text`` names, with variables and home folders put in.

    Raises:
        InputError: it names a variable that is not set, or a user that is not known here, and there is no file of that
            very name: else a folder called ``~`` or ``$HOME`` would be made.
    """
    path = expanded(text)
    unknown = _UNKNOWN.search(path)
    if (unknown or path.startswith("~")) and not os.path.lexists(path):
        what = f"the variable {unknown[0]} is not set" if unknown else f"there is no user {path.split(os.sep)[0]}"
        raise InputError("path", f"“{text}” cannot be read: {what}", "Write the path in full")
    return Path(path)


def absolute(path: Path) -> Path:
    """The same place, wherever one stands later. ``..`` is looked up on the disk: the folder before may be a link."""
    return path.resolve() if ".." in path.parts else path.absolute()


def without_folders(text: str, known: Iterable[str] = ()) -> str:
    """``text`` with each path cut down to its last part, and what lies in a ``known`` folder to where it lies there.

    The longest of nested folders come first; other folders are found where their names have no blank in them.
    """
    if "/" not in text and "\\" not in text:
        return text
    for folder in known:
        text = re.sub(re.escape(folder) + r"(?:/|\\|(?![\w.-]))", "", text)
    return _FOLDERS.sub("", text)
