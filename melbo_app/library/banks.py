"""The shelf of banks: a folder of own banks that can change, and one of samples that cannot."""

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
from melbo_app.library.atomic import move_to_free_name, sync_folder, write_file, write_folder
from melbo_app.library.bank import Bank, BankSummary, ImportHints, bank_facts
from melbo_app.library.bank_vectors import FIELD
from melbo_app.library.catalogue import Catalogue, ShelfFile
from melbo_app.library.file_names import check_file_name, fault, same_file
from melbo_app.library.formats import card
from melbo_app.library.formats.format import Parcel
from melbo_app.library.formats.known import FOLDER, OURS, format_for
from melbo_app.library.imports import check_width, imported_bank, read_file, reading
from melbo_app.library.labels import Label
from melbo_app.library.tensor_file import read_header

ENDING = ".safetensors"
_NAME = re.compile(r"[\w\-][\w .\-]{0,79}")
_NAME_RULE = "Use 1 to 80 letters, digits, blanks and - _ . and do not begin with a dot"
_ONE_WRITER = threading.Lock()
MOST_OPENED, MOST_BYTES = 8, 64 << 20
"""Banks that are kept in memory once they were opened, and bytes of their vectors; the last one always is."""

Stamp = tuple[int, int, int]


class Banks:
    """The banks in the folders ``own`` and ``samples``; neither needs to exist. Safe to use from several threads.

    The ``catalogue`` is told what comes and goes. The files count: where it cannot be written to, a bank is kept all
    the same, and entered when the next one is.
    """

    def __init__(self, own: Path, samples: Path, catalogue: Catalogue | None = None) -> None:
        self._own, self._samples, self._catalogue = own, samples, catalogue
        self._headers: dict[Path, tuple[Stamp, BankSummary]] = {}
        self._opened: OrderedDict[Path, tuple[Stamp, Bank]] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> list[BankSummary]:
        """Own banks, newest first, then the samples by name. Reads headers only, and only of files that changed since;
        a damaged file is listed as such."""
        own = [line for path in _files(self._own) if (line := self._line(path, sample=False))]
        came = self._order()
        own.sort(
            key=lambda line: (came.get(line.name, math.inf), line.record.created if line.record else line.changed),
            reverse=True,
        )
        samples = [line for path in _files(self._samples) if (line := self._line(path, sample=True))]
        taken = {same_file(line.name) for line in own}  # an own bank hides a sample that came later under its name
        return own + sorted(
            (line for line in samples if same_file(line.name) not in taken), key=lambda line: same_file(line.name)
        )

    @property
    def folder(self) -> Path:
        """Where own banks are."""
        return self._own

    def files(self) -> tuple[ShelfFile, ...]:
        """The files of all banks."""
        own = [ShelfFile(path, sample=False) for path in _files(self._own)]
        return (*own, *(ShelfFile(path, sample=True) for path in _files(self._samples)))

    def load(self, name: str) -> Bank:
        """The bank called ``name``, in any case; the last few are kept for as long as their files are the same.

        Raises InputError for an unknown or damaged one, and StorageError.
        """
        path = self._find(name)
        stamp = _stamp(path)
        with self._lock:
            known = self._opened.get(path)
        bank = known[1] if known is not None and known[0] == stamp else _load(path)
        if stamp is not None and stamp == _stamp(path):  # else it was replaced while it was read
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
        """Put ``bank`` on the shelf under its record's name; the path of its file.

        Raises InputError("name", …) where the name cannot be used or is taken, and StorageError.
        """
        name = check_name(bank.record.name)
        data = bank.renamed(name).to_bytes()
        path = self._own / f"{name}{ENDING}"
        with _ONE_WRITER:  # two names that differ in their case only are two files to the disk
            try:
                self._own.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"The folder “{self._own}” cannot be made ({error.strerror}).") from error
            self.check_free(name)
            try:
                write_file(path, data, overwrite=False)
            except FileExistsError as error:
                raise _taken(name) from error
        if self._catalogue is not None:
            with suppress(StorageError):
                self._catalogue.refresh(self.files())
        return path

    def check_free(self, name: str) -> str:
        """The name as it would be kept. Raises InputError("name", …) where it cannot be one or is taken."""
        name = check_name(name)
        for path in (*_files(self._own), *_files(self._samples)):
            if same_file(path.stem) == same_file(name):
                raise _taken(name, path.stem)
        return name

    def delete(self, name: str) -> None:
        """Remove the own bank called ``name``, damaged or not. Raises InputError for samples, and StorageError."""
        path = self._find(name)
        if path.parent == self._samples:
            raise InputError("bank", f"“{path.stem}” is a sample, and samples cannot be deleted")
        try:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise StorageError(f"“{path}” could not be deleted ({error.strerror}).") from error
        if self._catalogue is not None:
            with suppress(StorageError):
                self._catalogue.remove(path.stem)

    def rename(self, name: str, new: str) -> str:
        """Give the own bank called ``name``, damaged or not, another name; as it is called now. Labels and completions
        follow its vectors. A name may change in its case alone. Raises InputError and StorageError."""
        new = check_name(new)
        with _ONE_WRITER:
            path = self._find(name)
            if path.parent == self._samples:
                raise InputError("bank", f"“{path.stem}” is a sample, and samples cannot be renamed")
            for other in (*_files(self._own), *_files(self._samples)):
                if same_file(other.stem) == same_file(new) and (other != path or other.stem == new):
                    raise _taken(new, other.stem)
            try:
                if same_file(path.stem) == same_file(new):
                    os.rename(path, path.with_name(f"{new}{ENDING}"))
                else:
                    move_to_free_name(path, path.with_name(f"{new}{ENDING}"))
                    path.unlink(missing_ok=True)  # it may have both names until now
                sync_folder(path.parent)
            except FileExistsError as error:
                raise _taken(new) from error
            except OSError as error:
                raise StorageError(f"“{path}” could not be renamed ({error.strerror}).") from error
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
        """Read the bank in ``path`` and put it on the shelf, called ``name`` or after the file.

        Reads the formats of ``library/formats``, told apart by the file's beginning and name or by ``format``;
        ``beside`` are files that belong to it. ``hints`` count where the file is silent; ``record.note`` says what was
        assumed. Raises InputError and StorageError.
        """
        name = self.check_import_name(path, name)
        found, contents = read_file(path, format, beside)
        check_width(contents, hints.hidden_size)
        said = (hints.radius, hints.counted, hints.rows, hints.position)
        if contents.bank and any(one is not None for one in said):
            problem = "the file is one of ours, and says by itself what R and its source layer are"
            raise InputError(FIELD, problem, "Import it without them; a formula gives another R: scaled('bank', 8)")
        bank = contents.bank.renamed(name) if contents.bank else None
        bank = bank or imported_bank(path.name, name, found, contents, hints)
        self.save(bank)
        return bank

    def check_import_name(self, path: Path, name: str | None) -> str:
        """What the bank in ``path`` would be called. Raises InputError("name", …) where it cannot be."""
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
    ) -> Path:
        """Write the bank called ``name`` to ``out``, in ``format`` or in the one that the name of ``out`` asks for.

        ``chosen`` is written in its place: what was made of it, such as one vector with another R. Our own format is
        written byte for byte as it is on the shelf; a folder is made where the name has no ending. Raises InputError
        for a damaged bank, an ending or a format that cannot be, or a file that is there unless ``overwrite`` (a folder
        is never replaced); and StorageError.
        """
        wanted = format_for(out.name, format)
        check_file_name("file", out.name)
        source = self._find(name)
        bank = _load(source)
        parcel = Parcel(chosen or bank, name_from(out.stem), labels or {})
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
            raise InputError(
                "file", f"“{out}” is there already", "Choose another name, or allow overwriting"
            ) from error
        return out

    def _line(self, path: Path, sample: bool) -> BankSummary | None:
        """The line of the shelf for ``path``, remembered for as long as the file is the same."""
        stamp, known = _stamp(path), self._headers.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        line = _summary(path, sample)
        if stamp is not None and line is not None and line.record is not None:
            self._headers[path] = stamp, line
        return line

    def _order(self) -> dict[str, int]:
        """For each own bank the place at which it came; the clock may have been set back since."""
        if self._catalogue is None:
            return {}
        try:
            return {entry.name: place for place, entry in enumerate(self._catalogue.entries()) if not entry.sample}
        except StorageError:
            return {}

    def _find(self, name: str) -> Path:
        # Looked up among the files that are there, so that no name can lead out of the folders. Of two whose names
        # differ in their case alone, as on a disk that was copied, each is found by its own.
        wanted = unicodedata.normalize("NFC", name).strip()
        files = [*_files(self._own), *_files(self._samples)]
        exact = [path for called in (name, wanted) for path in files if path.stem == called]
        for path in exact or [path for path in files if same_file(path.stem) == same_file(wanted)]:
            return path
        raise InputError("bank", f"there is no bank called “{wanted[:80]}”", "See the list of banks")


def check_name(name: str) -> str:
    """``name`` without blanks around it. Raises InputError("name", …) where it cannot be the name of a bank."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not _NAME.fullmatch(clean):
        raise InputError("name", f"“{clean[:80]}” cannot be used" if clean else "it is empty", _NAME_RULE)
    if (found := fault(clean)) is not None:
        raise InputError("name", *found)
    if len(clean.encode()) > 200:  # file systems count bytes, and allow 255 with the ending
        raise InputError("name", f"“{clean}” is too long to be a file's name", "Use fewer letters")
    return clean


def _taken(name: str, by: str | None = None) -> InputError:
    remedy = "Choose another name, or delete that bank"
    if by in (None, name):
        return InputError("name", f"there is a bank called “{name}” already", remedy)
    problem = f"there is a bank called “{by}” already, which is the same file as “{name}” on many disks"
    return InputError("name", problem, remedy)


def _files(folder: Path) -> Iterator[Path]:
    """The bank files in ``folder``; none where it does not exist."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"The folder “{folder}” cannot be read ({error.strerror}).") from error
    for path in paths:
        if path.suffix == ENDING and not path.name.startswith(".") and path.is_file():
            yield path


def _stamp(path: Path) -> Stamp | None:
    """What changes with a file; None where it cannot be told."""
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
    """The line of the shelf for ``path``, or None where it was deleted a moment ago."""
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
    """What a file is called as the name of a bank, with a dash for every character that cannot be in one."""
    stem = re.sub(r"[^\w .\-]", "-", unicodedata.normalize("NFC", called)).lstrip(" .")
    return stem[:80].strip() or "imported"
