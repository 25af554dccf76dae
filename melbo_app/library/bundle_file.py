"""Reading a bundle that a stranger sent: each entry is as we write it, or the file is refused."""

import errno
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from melbo_app.errors import InputError
from melbo_app.library import damage
from melbo_app.library.bank import MAX_HEADER, Bank
from melbo_app.library.bank_vectors import MAX_BYTES
from melbo_app.library.completion import KeptComparison
from melbo_app.library.conversation import Conversation
from melbo_app.library.imports import reading
from melbo_app.library.label import LabelVersion
from melbo_app.library.label_merging import clean
from melbo_app.library.label_readings import LabelReadings
from melbo_app.library.preferences import Preferences
from melbo_app.library.text_file import encoding_of
from melbo_app.quoting import readable

FIELD = "bundle"
FORMAT, VERSION = "melbo-bundle", 1
HEAD, LABELS, COMPARISONS, BANKS, ENDING = "bundle.json", "labels.jsonl", "comparisons.jsonl", "banks/", ".safetensors"
PREFERENCES, READINGS = "preferences.jsonl", "readings.jsonl"
CONVERSATIONS = "conversations.jsonl"
"""Missing in bundles of older versions, which leave it out when they read."""
MOST_FILES = 10_000
MOST_LINES = 100_000
"""Versions of labels, and comparisons; one transaction can take this many within minutes."""
LONGEST_LINE = 16 << 20
"""Characters; a sweep of 3,000 texts has a quarter of this."""
LONGEST_HEAD = 1 << 16
NOT_OURS = "Choose a .zip file that MELBO Explorer exported"
NOTHING_KEPT = "Nothing was merged; export the bundle again"

Kept = TypeVar("Kept", bound=BaseModel)


@dataclass(frozen=True)
class BundleFile:
    """An open bundle, read from the disk on each iteration. Raises InputError for whatever is wrong with it."""

    path: Path
    archive: zipfile.ZipFile
    entries: dict[str, zipfile.ZipInfo]

    def banks(self) -> Iterator[Bank]:
        """The banks, each under the name of its file."""
        for name, entry in self.entries.items():
            if name.startswith(BANKS) and name.endswith(ENDING):
                called = Path(name).name.removesuffix(ENDING)
                with _unzipping(self.path):
                    data = self.archive.read(entry)
                try:
                    bank = Bank.from_bytes(data).renamed(called)
                except InputError as error:
                    problem = f"its bank “{readable(called)}” cannot be read: {error.problem}"
                    raise InputError(FIELD, problem, error.remedy) from error
                yield bank

    def labels(self) -> Iterator[LabelVersion]:
        """The versions of labels, oldest first for each vector."""
        for number, version in self._lines(LABELS, LabelVersion, "label"):
            try:
                clean(version)
            except InputError as error:
                raise self._refusal(f"label {number}", str(error).rstrip(".")) from error
            yield version

    def comparisons(self) -> Iterator[KeptComparison]:
        """The comparisons, oldest first."""
        for _, comparison in self._lines(COMPARISONS, KeptComparison, "comparison"):
            yield comparison

    def preferences(self) -> Iterator[Preferences]:
        """What people chose in blind comparisons, a bank on each line."""
        for _, preferences in self._lines(PREFERENCES, Preferences, "list of preferences"):
            yield preferences

    def readings(self) -> Iterator[LabelReadings]:
        """How well people told texts apart by labels, a bank on each line."""
        for _, readings in self._lines(READINGS, LabelReadings, "list of readings"):
            yield readings

    def conversations(self) -> Iterator[Conversation]:
        """The conversations, oldest first."""
        for _, conversation in self._lines(CONVERSATIONS, Conversation, "conversation"):
            yield conversation

    def _lines(self, name: str, kind: type[Kept], what: str) -> Iterator[tuple[int, Kept]]:
        """The entries of a file with one per line, numbered from 1."""
        if name not in self.entries:
            return
        with _unzipping(self.path), self.archive.open(self.entries[name]) as stream:
            encoding = encoding_of(stream.read(4))
        with self.archive.open(self.entries[name]) as stream:
            # texts may contain other line ends
            lines = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
            for number in range(1, MOST_LINES + 1):
                line = self._line(lines, f"{what} {number}")
                if not line:
                    return
                try:
                    entry = kind.model_validate_json(line.removeprefix("\ufeff"), strict=True)
                except ValidationError as error:
                    raise self._refusal(f"{what} {number}", damage.fault(error)) from error
                yield number, entry
            if self._line(lines, f"{what} {number + 1}"):
                problem = f"“{readable(self.path.name)}” holds more than {MOST_LINES:,} {what}s"
                raise InputError(FIELD, problem, "Export fewer banks at once")

    def _line(self, lines: io.TextIOWrapper, entry: str) -> str:
        with _unzipping(self.path):
            try:
                line = lines.readline(LONGEST_LINE + 1)
            except UnicodeError as error:
                raise self._refusal(entry, "it is not text in UTF-8") from error
        if len(line) > LONGEST_LINE:
            raise self._refusal(entry, f"it is longer than {LONGEST_LINE:,} characters")
        return line

    def _refusal(self, entry: str, problem: str) -> InputError:
        return InputError(FIELD, f"{entry} of “{readable(self.path.name)}” cannot be read ({problem})", NOTHING_KEPT)


@contextmanager
def opened(path: Path) -> Iterator[BundleFile]:
    """Open a bundle. Raises InputError for anything else, even hostile files, and StorageError."""
    with ExitStack() as files:
        with _unzipping(path):
            stream = files.enter_context(open(path, "rb"))
            archive = files.enter_context(zipfile.ZipFile(stream))
            stream.seek(0, 2)
            entries = _checked(archive.infolist(), stream.tell())
            head = _head(archive, entries.get(HEAD))
        name = readable(path.name)
        if head.get("format") != FORMAT:
            raise InputError(FIELD, f"“{name}” is not a bundle", NOT_OURS)
        if head.get("version") != VERSION:
            problem = f"“{name}” was made by another version of MELBO Explorer"
            raise InputError(FIELD, problem, "Import it with that version or a later one")
        yield BundleFile(path, archive, entries)


@contextmanager
def _unzipping(path: Path) -> Iterator[None]:
    """Turn the zip module's errors about truncated, encrypted and forged files into one sentence."""
    with reading(path):
        try:
            yield
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: an offset before the start
                raise
            raise InputError(FIELD, f"“{readable(path.name)}” is damaged or not a zip file", NOT_OURS) from error


def _checked(entries: Sequence[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name. Raises InputError if together they are larger than the archive."""
    if len(entries) > MOST_FILES:
        raise InputError(FIELD, f"it holds {len(entries):,} files", f"At most {MOST_FILES:,} can be read")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(FIELD, "its files are compressed", "Import the file as it was exported, without repacking it")
    if sum(entry.file_size for entry in entries) > size:
        raise InputError(FIELD, "its files claim to be larger than the bundle", NOT_OURS)
    for entry in entries:
        most = LONGEST_HEAD if entry.filename == HEAD else MAX_BYTES + MAX_HEADER
        if entry.file_size > most:
            problem = f"its file “{readable(entry.filename)}” is too large"
            raise InputError(FIELD, problem, f"At most {most:,} bytes fit")
    found = {entry.filename: entry for entry in entries}
    if len(found) < len(entries):
        raise InputError(FIELD, "two of its files have the same name", NOT_OURS)
    return found


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None) -> dict[str, Any]:
    try:
        head = {} if entry is None else json.loads(archive.read(entry))
    except (ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}
