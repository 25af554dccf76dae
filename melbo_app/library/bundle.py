"""Bundles: banks, labels and comparisons of one library in a single zip file, to be merged into another library."""

import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from melbo_app import __version__
from melbo_app.errors import InputError, MelboError
from melbo_app.library.atomic import open_to_write
from melbo_app.library.banks import ENDING, Banks, name_from
from melbo_app.library.bundle_file import (
    BANKS,
    COMPARISONS,
    CONVERSATIONS,
    FIELD,
    FORMAT,
    HEAD,
    LABELS,
    MOST_LINES,
    NOTHING_KEPT,
    PREFERENCES,
    READINGS,
    VERSION,
    opened,
)
from melbo_app.library.completions import Completions, merge_comparisons
from melbo_app.library.conversations import Conversations, merge_conversations
from melbo_app.library.damage import Damage
from melbo_app.library.database import Database
from melbo_app.library.file_names import check_file_name, exists_already, fault
from melbo_app.library.label import LabelVersion
from melbo_app.library.label_merging import merge_labels
from melbo_app.library.label_readings import LabelReadingFiles
from melbo_app.library.labels import Labels
from melbo_app.library.preferences import PreferenceFiles
from melbo_app.library.room import check_room
from melbo_app.quoting import readable

Kept = TypeVar("Kept", bound=BaseModel)
ROOM = 10_000_000  # estimated bytes of a thousand comparisons


@dataclass(frozen=True)
class Bundled:
    """The contents of a bundle that was written; ``damaged`` names, in a sentence each, what had to be left out."""

    out: str
    banks: int
    labels: int
    comparisons: int
    damaged: tuple[str, ...] = ()
    preferences: int = 0
    conversations: int = 0
    readings: int = 0


@dataclass(frozen=True)
class Merged:
    """What a bundle added to this library."""

    banks: list[str]
    """Their names in this library."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Banks whose name was taken or is not valid on every disk: the name in the bundle, and the name here."""
    labels: int = 0
    """Versions of labels, earlier ones included."""
    differing: list[tuple[str, int]] = field(default_factory=list)
    """Vectors (bank, number) with different labels on both sides: the newer one counts, the other is in the history."""
    comparisons: int = 0
    completions: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    """Labels of vectors that no bank here holds, by the name of their bank: they count once it comes."""
    preferences: int = 0
    conversations: int = 0
    """New ones, and those with new turns."""
    readings: int = 0
    """Of labels, by people who tested them."""

    def lines(self) -> list[str]:
        """The same for people."""
        if not any((self.banks, self.labels, self.comparisons, self.preferences, self.readings, self.conversations)):
            return ["This library already had everything in it."]
        lines = [f"New: {len(self.banks)} banks, {self.labels} labels, {self.comparisons} comparisons"]
        beside = {"preferences": self.preferences, "readings": self.readings, "conversations": self.conversations}
        for what, count in beside.items():
            lines[0] += f", {count} {what}" if count else ""
        why = ("its name was taken", "not every disk can hold its name")
        lines += [f"“{old}” is now called “{new}”: {why[fault(old) is not None]}" for old, new in self.renamed.items()]
        rule = "both libraries had labelled it; the newer label counts, the other one is in its history"
        lines += [f"{bank} {vector}: {rule}" for bank, vector in self.differing]
        return lines + [
            f"{count} label{'s' * (count != 1)} of “{bank}” wait: no bank here has its vectors"
            for bank, count in self.waiting.items()
        ]


def write_bundle(
    out: Path,
    banks: Banks,
    labels: Labels,
    completions: Completions,
    preferences: PreferenceFiles,
    readings: LabelReadingFiles,
    conversations: Conversations,
    names: Sequence[str] | None,
    overwrite: bool,
) -> Bundled:
    """Write these banks (None: all) with all that belongs to them to ``out``.

    Nothing is compressed, so that a reader knows from the file's size how much it unpacks to.

    Raises:
        InputError: an unknown or damaged bank, more than a bundle can hold, another ending, or an existing file unless
            ``overwrite``.
        StorageError: the disk refuses; nothing is left behind.
    """
    if out.suffix.lower() != ".zip":
        raise InputError("file", f"a bundle cannot be written as “{out.name}”", "Its name must end in .zip")
    check_file_name("file", out.name)
    chosen = [line.name for line in banks.list() if not line.damaged] if names is None else names
    loaded = [banks.load(name) for name in dict.fromkeys(chosen)]
    hashes = None if names is None else {bank.hash for bank in loaded}
    versions, choices, comparisons, spoken = labels.versions(hashes), preferences.of_banks(hashes), 0, 0
    read = readings.of_banks(hashes)
    damaged: list[Damage] = [*versions.damaged, *choices.damaged, *read.damaged]
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
            for name, some in ((PREFERENCES, choices), (READINGS, read)):
                if some:
                    archive.writestr(name, "".join(one.model_dump_json() + "\n" for one in some))
            with archive.open(COMPARISONS, "w", force_zip64=True) as lines:
                for comparison in completions.kept(hashes, damaged):
                    if comparisons % 1000 == 0:
                        check_room(out.parent, ROOM, f"“{out.name}”", small=0)
                    lines.write(comparison.model_dump_json().encode() + b"\n")
                    comparisons += 1
                    _check_count(comparisons, "comparisons")
            with archive.open(CONVERSATIONS, "w", force_zip64=True) as lines:
                for conversation in conversations.kept(hashes, damaged):
                    lines.write(conversation.model_dump_json().encode() + b"\n")
                    spoken += 1
                    _check_count(spoken, "conversations")
    except FileExistsError as error:
        raise exists_already(out) from error
    vectors = {(one.bank_hash, one.vector) for one in versions}
    many = [sum(len(one.said) for one in some) for some in (choices, read)]
    return Bundled(
        str(out), len(loaded), len(vectors), comparisons, tuple(map(str, damaged)), many[0], spoken, many[1]
    )  # fmt: skip


def _check_count(count: int, what: str) -> None:
    if count > MOST_LINES:
        raise InputError("file", f"it would hold more than {MOST_LINES:,} {what}", "Export fewer banks at once")


def merge_bundle(
    path: Path, database: Database, banks: Banks, preferences: PreferenceFiles, readings: LabelReadingFiles
) -> Merged:
    """Merge a bundle into this library, without losing or duplicating anything.

    Everything is read and checked first, and then saved completely or not at all. After an interruption, the same file
    can be imported again.

    Raises:
        InputError: the file is not a bundle, names the entry that is not as we write it, or has labels of vectors that
            their bank does not have.
        StorageError: the disk refuses.
    """
    with opened(path) as bundle:
        here = {line.hash: line.name for line in banks.list() if line.hash}
        sizes = {line.hash: line.vectors for line in banks.list() if line.hash}
        sizes |= {bank.hash: len(bank.vectors) for bank in bundle.banks()}
        waiting = _of_no_bank(bundle.labels(), sizes)
        # all at once may exceed the memory
        for _ in chain(bundle.comparisons(), bundle.preferences(), bundle.readings(), bundle.conversations()):
            pass
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
                comparisons = (
                    one.model_copy(update={"completions": tuple(_called(text, here) for text in one.completions)})
                    for one in bundle.comparisons()
                )
                many, texts = merge_comparisons(session, comparisons)
                spoken = merge_conversations(session, (one.called(here) for one in bundle.conversations()))
        except BaseException:
            for name in added:
                with suppress(MelboError):
                    banks.delete(name)
            raise
        chosen = sum(preferences.merge(one) for one in bundle.preferences())
        read = sum(readings.merge(one) for one in bundle.readings())
    return Merged(added, renamed, said, differing, many, texts, waiting, chosen, spoken, read)


def _of_no_bank(labels: Iterable[LabelVersion], sizes: dict[str, int]) -> dict[str, int]:
    """How many vectors are labelled whose bank is not there, by its name. Raises InputError for labels of vectors that
    a bank which is there does not have."""
    missing: dict[str, set[int]] = {}
    strange: dict[tuple[str, int], set[int]] = {}
    for one in labels:
        size = sizes.get(one.bank_hash)
        if size is None:
            missing.setdefault(one.bank, set()).add(one.vector)
        elif one.vector >= size:
            strange.setdefault((one.bank, size), set()).add(one.vector)
    for (bank, size), vectors in strange.items():
        count = f"{len(vectors):,} label{'s' * (len(vectors) != 1)}"
        problem = f"{count} of “{readable(bank)}” are of vectors that it does not have: it has {size}"
        raise InputError(FIELD, problem, NOTHING_KEPT)
    return {bank: len(vectors) for bank, vectors in missing.items()}


def _free_name(name: str, banks: Banks) -> str:
    """The name, or the first of name-2, name-3, … that is free and valid on every system."""
    plain = re.sub(r"-\d+$", "", name_from(name))[:70].rstrip(" .")
    stem = f"bank-{plain}" if fault(plain) else plain
    for wanted in (name, *(f"{stem}-{number}" for number in range(2, 1000))):
        try:
            return banks.check_free(wanted)
        except InputError:
            continue
    raise InputError(FIELD, f"no name like “{stem}” is free", "Delete or rename banks")


def _called(entry: Kept, names: dict[str, str]) -> Kept:
    """``entry`` with the name that its bank has in this library."""
    hash = getattr(entry, "bank_hash", None)
    return entry.model_copy(update={"bank": names[hash]}) if hash in names else entry
