"""The shelf of banks: a folder of the user's banks, and a read-only folder of samples."""

import math
import os
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import make_folder, move_to_free_name, refused, sync_folder, write_file, write_folder
from melbo_app.library.bank import Bank, BankSummary, ImportHints, bank_facts
from melbo_app.library.bank_vectors import FIELD
from melbo_app.library.catalogue import Catalogue, ShelfFile
from melbo_app.library.file_names import check_file_name, exists_already, fault, same_file
from melbo_app.library.formats import card
from melbo_app.library.formats.format import Parcel
from melbo_app.library.formats.known import FOLDER, OURS, format_for
from melbo_app.library.imports import check_width, imported_bank, read_file, reading
from melbo_app.library.label import Label
from melbo_app.library.label_readings import LabelReading
from melbo_app.library.tensor_file import read_header

ENDING = ".safetensors"
_NAME = re.compile(r"[\w\-][\w .\-]{0,79}")
_NAME_RULE = "Use 1 to 80 letters, digits, spaces and - _ . and do not begin with a dot"
_ONE_WRITER = threading.Lock()
MOST_OPENED, MOST_BYTES = 8, 64 << 20
"""Limits on opened banks kept in memory, and on the bytes of their vectors; the latest one always stays."""

Stamp = tuple[int, int, int]


class Banks:
    """The banks in the folders ``own`` and ``samples``, which need not exist. Thread-safe. The ``catalogue`` follows
    the files: if it cannot be written to, the bank is saved all the same and entered with the next one."""

    def __init__(self, own: Path, samples: Path, catalogue: Catalogue | None = None) -> None:
        self._own, self._samples, self._catalogue = own, samples, catalogue
        self._headers: dict[Path, tuple[Stamp, BankSummary]] = {}
        self._opened: OrderedDict[Path, tuple[Stamp, Bank]] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> list[BankSummary]:
        """Own banks, newest first, then the samples by name. Reads only the headers of new and changed files;
        damaged files are listed as damaged."""
        own = [line for path in _files(self._own) if (line := self._line(path, sample=False))]
        came = self._order()
        own.sort(
            key=lambda line: (came.get(line.name, math.inf), line.record.created if line.record else line.changed),
            reverse=True,
        )
        samples = [line for path in _files(self._samples) if (line := self._line(path, sample=True))]
        taken = {same_file(line.name) for line in own}  # an own bank hides a later sample of the same name
        shown = [line for line in samples if same_file(line.name) not in taken]
        return own + sorted(shown, key=lambda line: same_file(line.name))

    @property
    def folder(self) -> Path:
        """The folder of own banks."""
        return self._own

    def files(self) -> tuple[ShelfFile, ...]:
        """The files of all banks."""
        own = [ShelfFile(path, sample=False) for path in _files(self._own)]
        return (*own, *(ShelfFile(path, sample=True) for path in _files(self._samples)))

    def load(self, name: str) -> Bank:
        """The bank called ``name``, ignoring case; the last few stay in memory while their files do not change. Raises
        InputError if it is unknown or damaged, and StorageError."""
        path = self._find(name)
        stamp = _stamp(path)
        with self._lock:
            known = self._opened.get(path)
        bank = known[1] if known is not None and known[0] == stamp else _load(path)
        if stamp is not None and stamp == _stamp(path):  # otherwise it was replaced during reading
            with self._lock:
                self._opened[path] = stamp, bank
                self._opened.move_to_end(path)
                while len(self._opened) > 1 and (
                    len(self._opened) > MOST_OPENED
                    or sum(one.vectors.nbytes for _, one in self._opened.values()) > MOST_BYTES
                ):
                    self._opened.popitem(last=False)
        return bank

    def save(self, bank: Bank) -> Path:
        """Put ``bank`` on the shelf under its record's name; returns the path of its file. Raises InputError("name", …)
        if the name is invalid or taken, and StorageError."""
        name = check_name(bank.record.name)
        data = bank.renamed(name).to_bytes()
        path = self._own / f"{name}{ENDING}"
        with _ONE_WRITER:  # the disk may hold two names that differ in case only
            make_folder(self._own)
            self.check_free(name)
            try:
                write_file(path, data, overwrite=False)
            except FileExistsError as error:
                raise _taken(name) from error
        if self._catalogue is not None:
            with suppress(StorageError):
                self._catalogue.refresh(self.files())
        return path

    def check_free(self, name: str, but: Path | None = None) -> str:
        """The name as it would be saved. Raises InputError("name", …) if it is invalid, or taken by a bank other than
        ``but``."""
        name = check_name(name)
        for path in (*_files(self._own), *_files(self._samples)):
            if same_file(path.stem) == same_file(name) and path != but:
                raise _taken(name, path.stem)
        return name

    def delete(self, name: str) -> None:
        """Delete the own bank called ``name``, damaged or not. Raises InputError for samples, and StorageError."""
        path = self._find(name)
        if path.parent == self._samples:
            raise InputError("bank", f"“{path.stem}” is a sample, and samples cannot be deleted")
        with refused(f"“{path}” could not be deleted"):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        if self._catalogue is not None:
            with suppress(StorageError):
                self._catalogue.remove(path.stem)

    def rename(self, name: str, new: str) -> str:
        """Rename the own bank called ``name``, damaged or not; returns its new name. Labels and completions follow its
        vectors. The new name may differ in case only. Raises InputError and StorageError."""
        new = check_name(new)
        with _ONE_WRITER:
            path = self._find(name)
            if path.parent == self._samples:
                raise InputError("bank", f"“{path.stem}” is a sample, and samples cannot be renamed")
            self.check_free(new, but=None if path.stem == new else path)
            with refused(f"“{path}” could not be renamed"):
                try:
                    if same_file(path.stem) == same_file(new):
                        os.rename(path, path.with_name(f"{new}{ENDING}"))
                    else:
                        move_to_free_name(path, path.with_name(f"{new}{ENDING}"))
                        path.unlink(missing_ok=True)  # until now it may have both names
                except FileExistsError as error:
                    raise _taken(new) from error
                sync_folder(path.parent)
        if self._catalogue is not None:
            with suppress(StorageError):
                self._catalogue.rename(path.stem, new)
        return new

    def import_file(
        self,
        path: Path,
        *,
        name: str | None,
        hints: ImportHints,
        format: str | None = None,
        beside: Sequence[Path] = (),
    ) -> Bank:
        """Read the bank in ``path`` and put it on the shelf as ``name``, by default the file's name.

        ``format`` is a key of ``library/formats``, by default recognised by the file's first bytes and name; ``beside``
        are files that belong to it. ``hints`` fill in what the file does not say; ``record.note`` lists the
        assumptions. Raises InputError and StorageError.
        """
        name = self.check_import_name(path, name)
        found, contents = read_file(path, format, beside)
        check_width(contents, hints.hidden_size)
        said = (hints.radius, hints.counted, hints.rows, hints.position)
        if contents.bank and any(one is not None for one in said):
            problem = "the file is one of ours and already gives R and the source layer"
            raise InputError(FIELD, problem, "Import it without them; a formula changes R: scaled('bank', 8)")
        bank = contents.bank.renamed(name) if contents.bank else None
        bank = bank or imported_bank(path.name, name, found, contents, hints)
        self.save(bank)
        return bank

    def check_import_name(self, path: Path, name: str | None) -> str:
        """The name for the bank in ``path``. Raises InputError("name", …) if it is invalid or taken."""
        return self.check_free(name_from(path.stem) if name is None else name)

    def export_file(
        self,
        name: str,
        out: Path,
        *,
        overwrite: bool = False,
        format: str | None = None,
        chosen: Bank | None = None,
        labels: Mapping[int, Label] | None = None,
        readings: Mapping[int, Sequence[LabelReading]] | None = None,
    ) -> Path:
        """Write the bank called ``name`` to ``out``, in ``format`` or the format of its ending (none: a folder).

        ``chosen`` is written instead: a bank derived from it, such as one vector at another R. Our own format is copied
        byte for byte from the shelf. Raises InputError for a damaged bank, an unsupported ending or format, or an
        existing file unless ``overwrite`` (folders are never replaced); and StorageError.
        """
        wanted = format_for(out.name, format)
        check_file_name("file", out.name)
        source = self._find(name)
        bank = _load(source)
        parcel = Parcel(chosen or bank, name_from(out.stem), labels or {}, readings or {})
        files: dict[str, bytes] | bytes
        if wanted is FOLDER and not out.suffix:
            files = card.files(parcel)
        elif wanted is OURS and chosen is None:
            with reading(source):
                files = source.read_bytes()
        else:
            files = wanted.write(parcel)
        try:
            if isinstance(files, dict):
                write_folder(out, files)
            else:
                write_file(out, files, overwrite=overwrite)
        except FileExistsError as error:
            raise exists_already(out) from error
        return out

    def _line(self, path: Path, sample: bool) -> BankSummary | None:
        """The line of the shelf for ``path``, cached while the file does not change."""
        stamp, known = _stamp(path), self._headers.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        line = _summary(path, sample)
        if stamp is not None and line is not None and line.record is not None:
            self._headers[path] = stamp, line
        return line

    def _order(self) -> dict[str, int]:
        """The order in which own banks were added: the clock may have been set back since."""
        if self._catalogue is None:
            return {}
        try:
            return {entry.name: place for place, entry in enumerate(self._catalogue.entries()) if not entry.sample}
        except StorageError:
            return {}

    def _find(self, name: str) -> Path:
        # Looked up among the existing files, so that no name can lead out of the folders. Two names may differ in case
        # only (on a disk that was copied): an exact match comes first.
        wanted = unicodedata.normalize("NFC", name).strip()
        files = [*_files(self._own), *_files(self._samples)]
        exact = [path for called in (name, wanted) for path in files if path.stem == called]
        for path in exact or [path for path in files if same_file(path.stem) == same_file(wanted)]:
            return path
        raise InputError("bank", f"there is no bank called “{wanted[:80]}”", "See the list of banks")


def check_name(name: str) -> str:
    """``name`` without surrounding spaces. Raises InputError("name", …) if no bank can have it."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not _NAME.fullmatch(clean):
        raise InputError("name", f"“{clean[:80]}” cannot be used" if clean else "it is empty", _NAME_RULE)
    if (found := fault(clean)) is not None:
        raise InputError("name", *found)
    if len(clean.encode()) > 200:  # file systems count bytes, and allow 255 with the ending
        raise InputError("name", f"“{clean}” is too long for a file name", "Use fewer letters")
    return clean


def _taken(name: str, by: str | None = None) -> InputError:
    remedy = "Choose another name, or delete that bank"
    if by in (None, name):
        return InputError("name", f"a bank called “{name}” already exists", remedy)
    problem = f"a bank called “{by}” already exists, and many disks take “{name}” for the same file"
    return InputError("name", problem, remedy)


def _files(folder: Path) -> Iterator[Path]:
    """The bank files in ``folder``; none if it does not exist."""
    with refused(f"The folder “{folder}” cannot be read"):
        try:
            paths = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
    for path in paths:
        if path.suffix == ENDING and not path.name.startswith(".") and path.is_file():
            yield path


def _stamp(path: Path) -> Stamp | None:
    """Changes whenever the file does; None if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _load(path: Path) -> Bank:
    try:
        with reading(path), open(path, "rb") as stream:
            return Bank.read(stream, os.fstat(stream.fileno()).st_size).renamed(path.stem)
    except InputError as error:
        raise InputError("bank", f"“{path.stem}” cannot be read: {error.problem}", error.remedy) from error


def _summary(path: Path, sample: bool) -> BankSummary | None:
    """The line of the shelf for ``path``, or None if the file was just deleted."""
    record, count, digest, damaged, size, changed = None, 0, None, None, 0, datetime.now(UTC)
    try:
        with open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            size, changed = status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)
            header = read_header(stream, size)
        record, count, digest = bank_facts(header)
        record = record.model_copy(update={"name": path.stem})
    except FileNotFoundError:
        return None
    except InputError as error:
        damaged = str(error)
    except OSError as error:
        damaged = f"“{path.name}” could not be read ({error.strerror or error})."
    return BankSummary(path.stem, sample, count, size, changed, record, digest, damaged)


def name_from(called: str) -> str:
    """A file's name as the name of a bank, with a dash for every invalid character."""
    stem = re.sub(r"[^\w .\-]", "-", unicodedata.normalize("NFC", called)).lstrip(" .")
    return stem[:80].strip() or "imported"
