"""The catalogue: an index of the bank files in the database, which can always be rebuilt from them."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from melbo_app.errors import InputError
from melbo_app.library.bank import UNTRAINED, Bank, BankRecord
from melbo_app.library.damage import Listed, read_each
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import Count, Digest, Name
from melbo_app.library.sources import model_id, prompt_id
from melbo_app.library.tables import BankPromptRow, BankRow, ModelRow, PromptRow, RunRow, VectorRow


@dataclass(frozen=True)
class ShelfFile:
    """A bank's file, and whether it is a sample."""

    path: Path
    sample: bool

    @property
    def name(self) -> str:
        """The bank's name, which is the file's, whatever the record inside says."""
        return self.path.stem


@dataclass(frozen=True)
class BankEntry:
    """A bank's file in the catalogue: sha256 of its vectors and of the file, size in bytes, time of change in ns."""

    name: Name
    sample: bool
    hash: Digest
    file_hash: Digest
    size: Count
    changed: int


_ENTRY = TypeAdapter(BankEntry)


@dataclass(frozen=True)
class Rebuilt:
    """The catalogue after a rebuild; ``damaged`` maps files that could not be read to the reason."""

    banks: int
    vectors: int
    runs: int
    models: int
    prompts: int
    removed: list[str]
    damaged: dict[str, str]


@dataclass(frozen=True)
class Repaired:
    """The result of a repair, which does not read unchanged files: banks ``entered``, ``forgotten`` because their file
    is gone, ``changed`` since they were entered, or ``damaged``, with the reason."""

    entered: list[str]
    forgotten: list[str]
    changed: list[str]
    damaged: dict[str, str]

    def lines(self) -> list[str]:
        """The same for people; empty if nothing was wrong."""
        lines = [f"“{name}” was missing from the catalogue and has been added." for name in self.entered]
        lines += [f"“{name}” was removed from the catalogue: its file is gone." for name in self.forgotten]
        lines += [f"“{name}” changed since it was entered: see library check." for name in self.changed]
        return lines + [f"“{name}” is damaged: see library check." for name in self.damaged]


class Catalogue(InDatabase):
    """The catalogue in ``database``. Every method raises StorageError if the database cannot be used."""

    def remove(self, name: str) -> None:
        """Remove an own bank. Its run, labels and completions stay."""
        with self._database.write() as session:
            session.execute(delete(BankRow).where(BankRow.name == name, BankRow.sample.is_(False)))

    def rename(self, name: str, new: str) -> None:
        """Rename an own bank; it keeps its place in the order."""
        own = (BankRow.name == name, BankRow.sample.is_(False))
        with self._database.write() as session:
            session.execute(delete(BankRow).where(BankRow.name == new, BankRow.sample.is_(False)))
            session.execute(update(BankRow).where(*own).values(name=new))

    def entries(self) -> Listed[BankEntry]:
        """Every bank, in the order of arrival."""
        columns = [getattr(BankRow, field.name) for field in fields(BankEntry)]
        with self._database.read() as session:
            rows = session.execute(select(*columns).order_by(BankRow.id)).mappings()
            return read_each(rows, lambda row: _ENTRY.validate_python({**row}), lambda row: f"entry of “{row['name']}”")

    def refresh(self, files: Sequence[ShelfFile]) -> dict[str, str]:
        """Enter files that were added or changed outside the program; returns unreadable ones with the reason."""
        known = {(entry.name, entry.sample): (entry.size, entry.changed) for entry in self.entries()}
        return self._enter_all([file for file in files if known.get((file.name, file.sample)) != _stamp(file)])

    def repair(self, files: Sequence[ShelfFile], own: Path) -> Repaired:
        """Enter own banks that the program wrote before it was killed, and forget those whose file is gone.

        Files are compared by name, size and time, and only new or touched ones are read. Samples wait until the first
        search. If the folder ``own`` is missing (say, its disk is not mounted), nothing is forgotten.
        """
        known = {(entry.name, entry.sample): entry for entry in self.entries()}
        there = {(file.name, file.sample) for file in files}
        mine = [file for file in files if not file.sample]
        new = [file for file in mine if (file.name, False) not in known]
        gone = [key for key in known if key not in there and (own.is_dir() or key[1])]
        damaged: dict[str, str] = {}
        changed: list[ShelfFile] = []
        same: list[ShelfFile] = []
        for file in mine:
            entry = known.get((file.name, False))
            if entry is None or (entry.size, entry.changed) == _stamp(file):
                continue
            try:
                (same if read_file(file)[0].file_hash == entry.file_hash else changed).append(file)
            except (InputError, OSError) as error:
                damaged[file.name] = str(error)
        damaged |= self._enter_all([*new, *same])
        if gone:
            with self._database.write() as session:
                for name, sample in gone:
                    session.execute(delete(BankRow).where(BankRow.name == name, BankRow.sample.is_(sample)))
        entered = [file.name for file in new if file.name not in damaged]
        return Repaired(entered, sorted(name for name, _ in gone), [file.name for file in changed], damaged)

    def rebuild(self, files: Sequence[ShelfFile]) -> Rebuilt:
        """Rebuild the catalogue from the files. Runs of deleted banks stay, and so does everything else."""
        damaged = self._enter_all(files)
        there = {(file.name, file.sample) for file in files}
        with self._database.write() as session:
            gone = [row for row in session.scalars(select(BankRow)) if (row.name, row.sample) not in there]
            for row in gone:
                session.delete(row)
            session.flush()
            counts = [
                select(func.count()).select_from(one) for one in (BankRow, VectorRow, RunRow, ModelRow, PromptRow)
            ]
            banks, vectors, runs, models, prompts = (session.scalar(count) or 0 for count in counts)
        removed = sorted(row.name for row in gone)
        return Rebuilt(banks, vectors, runs, models, prompts, removed, damaged)

    def search(self, text: str, limit: int = 50) -> list[str]:
        """Names of the banks with ``text`` in their name, note, method, model or prompts, newest first."""
        asked = select(BankPromptRow.bank_id).join(PromptRow).where(PromptRow.user.icontains(text, autoescape=True))
        columns = (BankRow.name, BankRow.note, BankRow.method, ModelRow.name)
        parts = [column.icontains(text, autoescape=True) for column in columns]
        found = select(BankRow.name).join(ModelRow).where(or_(*parts, BankRow.id.in_(asked)))
        with self._database.read() as session:
            names = session.scalars(found.order_by(BankRow.sample, BankRow.id.desc()).limit(limit))
            return [name for name in dict.fromkeys(names) if isinstance(name, str)]

    def _enter_all(self, files: Sequence[ShelfFile]) -> dict[str, str]:
        """Enter the files, oldest first: their numbers keep the order of arrival."""
        read: list[tuple[BankEntry, Bank]] = []
        damaged = {}
        for file in files:
            try:
                read.append(read_file(file))
            except InputError as error:
                damaged[file.name] = str(error)
            except OSError as error:
                damaged[file.name] = f"“{file.path}” could not be read ({error.strerror or error})."
        read.sort(key=lambda facts: facts[1].record.created)
        if read:
            with self._database.write() as session:
                for facts in read:
                    _enter(session, *facts)
        return damaged


def _stamp(file: ShelfFile) -> tuple[int, int] | None:
    try:
        status = file.path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def read_file(file: ShelfFile) -> tuple[BankEntry, Bank]:
    """The bank in a file, with its entry. Raises InputError for a damaged file, and OSError."""
    with open(file.path, "rb") as stream:
        status = os.fstat(stream.fileno())
        bank = Bank.read(stream, status.st_size)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return BankEntry(file.name, file.sample, bank.hash, digest, status.st_size, status.st_mtime_ns), bank


def _enter(session: Session, entry: BankEntry, bank: Bank) -> None:
    record = bank.record
    model = model_id(session, record.model, record.model_hash)
    row = session.scalars(select(BankRow).where(BankRow.name == entry.name, BankRow.sample == entry.sample)).first()
    if row is None:
        row = BankRow(name=entry.name, sample=entry.sample)
        session.add(row)
    for field in ("hash", "file_hash", "size", "changed"):
        setattr(row, field, getattr(entry, field))
    for field in ("source", "target", "radius", "method", "note", "created"):
        setattr(row, field, getattr(record, field))
    row.model_id = model
    session.flush()
    for table in (VectorRow, BankPromptRow):
        session.execute(delete(table).where(table.bank_id == row.id))
    session.add_all(_vectors(row.id, bank))
    for role, prompts in (("trained", record.prompts), ("against", record.against), ("held out", record.held_out)):
        for position, prompt in enumerate(prompts):
            number = prompt_id(session, prompt)
            session.add(BankPromptRow(bank_id=row.id, role=role, position=position, prompt_id=number))
    if record.method not in UNTRAINED:
        _enter_run(session, entry, record, model)
    session.flush()


def _vectors(bank_id: int, bank: Bank) -> list[VectorRow]:
    objective, strength = bank.record.objective, bank.record.strength
    norms = np.linalg.norm(bank.vectors.astype(np.float64), axis=1)
    return [
        VectorRow(
            bank_id=bank_id,
            number=number,
            hash=hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").data).hexdigest(),
            norm=float(norms[number]),
            objective=objective[number] if objective else None,
            strength=strength[number] if strength else None,
        )
        for number, vector in enumerate(bank.vectors)
    ]


def _enter_run(session: Session, entry: BankEntry, record: BankRecord, model: int) -> None:
    same = select(RunRow.id).where(RunRow.bank_hash == entry.hash, RunRow.created == record.created)
    if session.scalars(same).first() is None:
        facts = {field: getattr(record, field) for field in ("method", "steps", "seed", "seconds", "device", "command")}
        run = RunRow(bank=entry.name, bank_hash=entry.hash, model_id=model, created=record.created, **facts)
        session.add(run)
        session.flush()
