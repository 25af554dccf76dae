"""A bundle: banks, labels and comparisons of one library in a single zip file, to be merged into another one."""

import json
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from melbo_app import __version__
from melbo_app.errors import InputError, MelboError
from melbo_app.library.atomic import open_to_write
from melbo_app.library.banks import Banks, name_from
from melbo_app.library.bundle_file import (
    BANKS,
    COMPARISONS,
    ENDING,
    FIELD,
    FORMAT,
    HEAD,
    LABELS,
    MOST_LINES,
    VERSION,
    opened,
)
from melbo_app.library.completion import KeptComparison
from melbo_app.library.completions import Completions, merge_comparisons
from melbo_app.library.damage import Damage
from melbo_app.library.database import Database
from melbo_app.library.file_names import check_file_name, fault
from melbo_app.library.labels import Labels, merge_labels
from melbo_app.library.room import check_room

Kept = TypeVar("Kept", bound=BaseModel)
ROOM = 10_000_000  # bytes of a thousand comparisons, as far as can be told before


@dataclass(frozen=True)
class Bundled:
    """What went into a bundle; ``damaged`` is what could not be read and was left out, a sentence each."""

    out: str
    banks: int
    labels: int
    comparisons: int
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """What came out of a bundle and was not there before."""

    banks: list[str]
    """The names that they have here."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Of those, the ones whose name was taken by another bank or is none that every disk can hold: the name in the
    bundle, and the one here."""
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
        why = ("its name was taken", "not every disk can hold its name")
        lines += [f"“{old}” is called “{new}” here: {why[fault(old) is not None]}" for old, new in self.renamed.items()]
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
        InputError: no such bank, a damaged one, more than a bundle can hold, another ending, or a file that is there
            unless ``overwrite``.
        StorageError: the disk refuses; nothing is left behind.
    """
    if out.suffix.lower() != ".zip":
        raise InputError("file", f"a bundle cannot be written as “{out.name}”", "Its name must end in .zip")
    check_file_name("file", out.name)
    chosen = [line.name for line in banks.list() if not line.damaged] if names is None else names
    loaded = [banks.load(name) for name in dict.fromkeys(chosen)]
    hashes = None if names is None else {bank.hash for bank in loaded}
    versions, comparisons = labels.versions(hashes), 0
    damaged: list[Damage] = [*versions.damaged]
    _check_count(len(versions), "versions of labels")
    head = {"format": FORMAT, "version": VERSION, "melbo_app": __version__, "created": datetime.now(UTC).isoformat()}
    try:
        with open_to_write(out, overwrite=overwrite) as stream, zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(HEAD, json.dumps(head))
            check_room(out.parent, sum(bank.vectors.nbytes for bank in loaded) + ROOM, f"“{out.name}”", small=0)
            for bank in loaded:
                archive.writestr(f"{BANKS}{bank.record.name}{ENDING}", bank.to_bytes())
            with archive.open(LABELS, "w") as lines:
                for version in versions:
                    lines.write(version.model_dump_json().encode() + b"\n")
            with archive.open(COMPARISONS, "w", force_zip64=True) as lines:
                for comparison in completions.kept(hashes, damaged):
                    if comparisons % 1000 == 0:
                        check_room(out.parent, ROOM, f"“{out.name}”", small=0)
                    lines.write(comparison.model_dump_json().encode() + b"\n")
                    comparisons += 1
                    _check_count(comparisons, "comparisons")
    except FileExistsError as error:
        raise InputError("file", f"“{out}” is there already", "Choose another name, or allow overwriting") from error
    vectors = {(one.bank_hash, one.vector) for one in versions}
    return Bundled(str(out), len(loaded), len(vectors), comparisons, tuple(map(str, damaged)))


def _check_count(count: int, what: str) -> None:
    if count > MOST_LINES:
        raise InputError(
            "file", f"there are more than {MOST_LINES:,} {what}", "Export some of the banks, not all at once"
        )


def merge_bundle(path: Path, database: Database, banks: Banks, labels: Labels, completions: Completions) -> Merged:
    """Take what is in a bundle into this library; nothing that is here is lost, and nothing comes twice.

    Everything is read and checked before anything is kept, and all of it is kept or nothing. Who is interrupted in
    between can import the same file again.

    Raises:
        InputError: a file that is no bundle, or one with an entry that is not as we write it: which, and what is wrong.
        StorageError: the disk refuses.
    """
    with opened(path) as bundle:
        for _ in (*bundle.banks(), *bundle.labels()):
            pass
        for _ in bundle.comparisons():  # one at a time: they may be larger than the memory
            pass
        here = {line.hash: line.name for line in banks.list() if line.hash}
        added: list[str] = []
        renamed: dict[str, str] = {}
        try:
            for bank in bundle.banks():
                if bank.hash in here:
                    continue
                name = _free_name(bank.record.name, banks)
                banks.save(bank.renamed(name))
                added.append(name)
                here[bank.hash] = name
                if name != bank.record.name:
                    renamed[bank.record.name] = name
            with database.write() as session:
                said, differing = merge_labels(session, [_called(version, here) for version in bundle.labels()])
                many, texts = merge_comparisons(session, (_all_called(one, here) for one in bundle.comparisons()))
        except BaseException:
            for name in added:
                with suppress(MelboError):
                    banks.delete(name)
            raise
    return Merged(added, renamed, said, differing, many, texts)


def _free_name(name: str, banks: Banks) -> str:
    """The name, or the first of name-2, name-3, … that no bank has and every system can hold."""
    plain = re.sub(r"-\d+$", "", name_from(name))[:70].rstrip(" .")
    stem = f"bank-{plain}" if fault(plain) else plain
    for wanted in (name, *(f"{stem}-{number}" for number in range(2, 1000))):
        try:
            return banks.check_free(wanted)
        except InputError:
            continue
    raise InputError(FIELD, f"no name like “{stem}” is free", "Delete banks, or give them other names")


def _called(entry: Kept, names: dict[str, str]) -> Kept:
    """The same under the name that its bank has here."""
    hash = getattr(entry, "bank_hash", None)
    return entry.model_copy(update={"bank": names[hash]}) if hash in names else entry


def _all_called(one: KeptComparison, names: dict[str, str]) -> KeptComparison:
    return one.model_copy(update={"completions": tuple(_called(entry, names) for entry in one.completions)})
