"""Folders that a person names and that must not exist yet."""

from collections.abc import Mapping
from pathlib import Path

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_folder


def check_new(out: Path, exists: str = "exists") -> None:
    """Raises InputError if ``out`` exists, which it says in the words ``exists``, or could not be made."""
    if out.exists() or out.is_symlink():
        raise InputError("out", f"“{out}” {exists}", "Give the name of a new folder")
    if not out.parent.is_dir():
        raise InputError("out", f"the folder “{out.parent}” does not exist", "Create it, or choose another one")


def write_new(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the folder ``out``, all or nothing. Raises InputError if it exists, and StorageError."""
    check_new(out)
    try:
        write_folder(out, files)
    except FileExistsError:  # meanwhile
        check_new(out)
        raise
