"""A bundle: banks, labels and comparisons of one library in a single zip file, to be merged into another one."""

import errno
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from melbo_app import __version__
from melbo_app.errors import InputError
from melbo_app.library.atomic import open_to_write
from melbo_app.library.bank import Bank
from melbo_app.library.bank_vectors import MAX_BYTES
from melbo_app.library.banks import Banks
from melbo_app.library.completions import Completions, KeptComparison
from melbo_app.library.imports import reading
from melbo_app.library.labels import Labels, LabelVersion
from melbo_app.library.tensor_file import MAX_HEADER
from melbo_app.library.text_file import text_of

FIELD = "bundle"
FORMAT, VERSION = "melbo-bundle", 1
HEAD, LABELS, COMPARISONS, BANKS, ENDING = "bundle.json", "labels.jsonl", "comparisons.jsonl", "banks/", ".safetensors"
MOST_FILES = 10_000
NOT_OURS = "Choose a .zip file that MELBO Explorer exported"

Kept = TypeVar("Kept", bound=BaseModel)


@dataclass(frozen=True)
class Bundled:
    """What went into a bundle."""

    out: str
    banks: int
    labels: int
    comparisons: int


@dataclass(frozen=True)
class Merged:
    """What came out of a bundle and was not there before."""

    banks: list[str]
    """The names that they have here."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Of those, the ones whose name was taken by another bank: the name in the bundle, and the one here."""
    labels: int = 0
    """Versions of labels, earlier ones included."""
    differing: list[tuple[str, int]] = field(default_factory=list)
    """Vectors (bank, number) that both sides had labelled otherwise: the newer label counts, the other one is in the
    history."""
    comparisons: int = 0
    completions: int = 0

    def lines(self) -> list[str]:
        """The same for people."""
        if not (self.banks or self.labels or self.comparisons):
            return ["Everything in it was here already."]
        lines = [f"New: {len(self.banks)} banks, {self.labels} labels, {self.comparisons} comparisons"]
        lines += [f"“{old}” is called “{new}” here: its name was taken" for old, new in self.renamed.items()]
        lines += [
            f"{bank} {vector}: both sides had labelled it; the newer label counts, the other one is in its history"
            for bank, vector in self.differing
        ]
        return lines


def write_bundle(
    out: Path, banks: Banks, labels: Labels, completions: Completions, names: Sequence[str] | None, overwrite: bool
) -> Bundled:
    """Write these banks (None: all), with what was said of them and completed with them, to ``out``.

    Nothing is compressed: whoever reads it can tell from the file's size how much there is to read.

    Raises:
        InputError: no such bank, a damaged one, another ending, or a file that is there unless ``overwrite``.
        StorageError: the disk refuses; nothing is left behind.
    """
    if out.suffix.lower() != ".zip":
        raise InputError("file", f"a bundle cannot be written as “{out.name}”", "Its name must end in .zip")
    chosen = [line.name for line in banks.list() if not line.damaged] if names is None else names
    loaded = [banks.load(name) for name in dict.fromkeys(chosen)]
    hashes = None if names is None else {bank.hash for bank in loaded}
    versions, comparisons = labels.versions(hashes), 0
    head = {"format": FORMAT, "version": VERSION, "melbo_app": __version__, "created": datetime.now(UTC).isoformat()}
    try:
        with open_to_write(out, overwrite=overwrite) as stream, zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(HEAD, json.dumps(head))
            for bank in loaded:
                archive.writestr(f"{BANKS}{bank.record.name}{ENDING}", bank.to_bytes())
            with archive.open(LABELS, "w") as lines:
                for version in versions:
                    lines.write(version.model_dump_json().encode() + b"\n")
            with archive.open(COMPARISONS, "w", force_zip64=True) as lines:
                for comparison in completions.kept(hashes):
                    lines.write(comparison.model_dump_json().encode() + b"\n")
                    comparisons += 1
    except FileExistsError as error:
        raise InputError("file", f"“{out}” is there already", "Choose another name, or allow overwriting") from error
    return Bundled(str(out), len(loaded), len({(one.bank_hash, one.vector) for one in versions}), comparisons)


def merge_bundle(path: Path, banks: Banks, labels: Labels, completions: Completions) -> Merged:
    """Take what is in a bundle into this library; nothing that is here is lost, and nothing comes twice.

    Everything is read before anything is kept. Who is interrupted in between can import the same file again.

    Raises:
        InputError: a file that is no bundle, or a damaged one; nothing was kept.
        StorageError: the disk refuses.
    """
    brought, versions, comparisons = _read(path)
    here = {line.hash: line.name for line in banks.list() if line.hash}
    added, renamed = [], {}
    for bank in brought:
        if bank.hash in here:
            continue
        name = _free_name(bank.record.name, banks)
        banks.save(bank.renamed(name))
        added.append(name)
        here[bank.hash] = name
        if name != bank.record.name:
            renamed[bank.record.name] = name
    said, differing = labels.merge([_called(version, here) for version in versions])
    many, texts = completions.merge(
        [
            one.model_copy(update={"completions": tuple(_called(entry, here) for entry in one.completions)})
            for one in comparisons
        ]
    )
    return Merged(added, renamed, said, differing, many, texts)


def _read(path: Path) -> tuple[list[Bank], list[LabelVersion], list[KeptComparison]]:
    """What is in a bundle. Raises InputError for anything else, however hostile, and StorageError."""
    with reading(path), open(path, "rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                stream.seek(0, 2)
                entries = _checked(archive.infolist(), stream.tell())
                head = _head(archive.read(entries[HEAD])) if HEAD in entries else {}
                if head.get("format") != FORMAT:
                    raise InputError(FIELD, f"“{path.name}” is none", NOT_OURS)
                if head.get("version") != VERSION:
                    problem = f"“{path.name}” was made by another version of MELBO Explorer"
                    raise InputError(FIELD, problem, "Import it with that version, or a later one")
                banks = [
                    _bank(name, archive.read(entry))
                    for name, entry in entries.items()
                    if name.startswith(BANKS) and name.endswith(ENDING)
                ]
                return (
                    banks,
                    _lines(LabelVersion, archive.read(entries[LABELS]) if LABELS in entries else b""),
                    _lines(KeptComparison, archive.read(entries[COMPARISONS]) if COMPARISONS in entries else b""),
                )
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            # what the zip module makes of files cut short, encrypted or made up; EINVAL: a place before the start
            raise InputError(FIELD, f"“{path.name}” is no zip file, or a damaged one", NOT_OURS) from error


def _checked(entries: Sequence[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name, where all of them together are no larger than the archive."""
    if len(entries) > MOST_FILES:
        raise InputError(FIELD, f"it holds {len(entries):,} files", f"At most {MOST_FILES:,} can be read")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(FIELD, "its files are compressed", "Import the file as it was exported, not packed again")
    if sum(entry.file_size for entry in entries) > size:
        raise InputError(FIELD, "its files are larger than itself", NOT_OURS)
    if any(entry.file_size > MAX_BYTES + MAX_HEADER for entry in entries):
        raise InputError(FIELD, "one of its files is too large", f"At most {MAX_BYTES:,} bytes can be read of each")
    return {entry.filename: entry for entry in entries}


def _head(data: bytes) -> dict[str, Any]:
    try:
        head = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}


def _bank(name: str, data: bytes) -> Bank:
    called = Path(name).name.removesuffix(ENDING)
    try:
        return Bank.from_bytes(data).renamed(called)
    except InputError as error:
        raise InputError(FIELD, f"its bank “{called[:80]}” cannot be read: {error.problem}", error.remedy) from error


def _lines(kind: type[Kept], data: bytes) -> list[Kept]:
    found = []
    # a text may hold other ends of lines
    lines = text_of(data).removesuffix("\n").split("\n") if data else []
    for number, line in enumerate(lines, start=1):
        try:
            one = kind.model_validate_json(line)
        except ValidationError as error:
            what = "label" if kind is LabelVersion else "comparison"
            reason = error.errors(include_url=False)[0]["msg"]
            raise InputError(FIELD, f"its {what} {number} cannot be read ({reason[:120]})", NOT_OURS) from error
        found.append(one)
    return found


def _free_name(name: str, banks: Banks) -> str:
    """The name, or the first of name-2, name-3, … that no bank has."""
    stem = re.sub(r"-\d+$", "", name)[:70] or "imported"
    for wanted in _names(name, stem):
        try:
            return banks.check_free(wanted)
        except InputError:
            continue
    raise InputError(FIELD, f"no name like “{stem}” is free", "Delete banks, or give them other names")


def _names(name: str, stem: str) -> Iterator[str]:
    yield name
    yield from (f"{stem}-{number}" for number in range(2, 1000))


def _called(entry: Kept, names: dict[str, str]) -> Kept:
    """The same under the name that its bank has here."""
    hash = getattr(entry, "bank_hash", None)
    return entry.model_copy(update={"bank": names[hash]}) if hash in names else entry
