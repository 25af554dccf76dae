"""The shelf of banks: a folder of own banks that can change, and one of samples that cannot."""

import math
import os
import platform
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from melbo_app import __version__
from melbo_app.errors import InputError, StorageError
from melbo_app.library.atomic import sync_folder, write_file
from melbo_app.library.bank import (
    FIELD,
    MAX_BYTES,
    MAX_ELEMENTS,
    Bank,
    BankRecord,
    BankSummary,
    ImportHints,
    check_vectors,
    read_header,
)
from melbo_app.library.catalogue import Catalogue, ShelfFile

ENDING = ".safetensors"
CHECKPOINTS = (".pt", ".pth", ".bin")
_NAME = re.compile(r"[\w\-][\w .\-]{0,79}")
_NAME_RULE = "Use 1 to 80 letters, digits, blanks and - _ . and do not begin with a dot"
_ONE_WRITER = threading.Lock()


class Banks:
    """The banks in the folders ``own`` and ``samples``; neither needs to exist. Safe to use from several threads.

    The ``catalogue`` is told what comes and goes. The files count: where it cannot be written to, a bank is kept all
    the same, and entered when the next one is.
    """

    def __init__(self, own: Path, samples: Path, catalogue: Catalogue | None = None) -> None:
        self._own, self._samples, self._catalogue = own, samples, catalogue
        self._headers: dict[Path, tuple[tuple[int, int, int], BankSummary]] = {}

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
        taken = {_key(line.name) for line in own}  # an own bank hides a sample that came later under its name
        return own + sorted(
            (line for line in samples if _key(line.name) not in taken), key=lambda line: _key(line.name)
        )

    def files(self) -> tuple[ShelfFile, ...]:
        """The files of all banks."""
        own = [ShelfFile(path, sample=False) for path in _files(self._own)]
        return (*own, *(ShelfFile(path, sample=True) for path in _files(self._samples)))

    def load(self, name: str) -> Bank:
        """The bank called ``name``, in any case. Raises InputError for an unknown or damaged one, and StorageError."""
        return _load(self._find(name))

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
        if any(_key(path.stem) == _key(name) for folder in (self._own, self._samples) for path in _files(folder)):
            raise _taken(name)
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

    def import_file(self, path: Path, *, name: str | None, hints: ImportHints) -> Bank:
        """Read the bank in ``path`` and put it on the shelf, called ``name`` or after the file.

        Reads our own files, other safetensors files (the tensor ``vectors``, or the only one with two dimensions) and
        the published MELBO ``.pt`` files. ``hints`` count where the file is silent; ``record.note`` says what was
        assumed. Raises InputError and StorageError.
        """
        name = self.check_free(_name_from(path) if name is None else name)
        ending = path.suffix.lower()
        if ending == ENDING:
            bank, vectors = _read_safetensors(path)
        elif ending in CHECKPOINTS:
            bank, vectors = None, _read_checkpoint(path)
        else:
            problem = f"“{path.name}” is of no known kind"
            raise InputError(FIELD, problem, f"Files that end in {ENDING} or {', '.join(CHECKPOINTS)} can be read")
        width = vectors.shape[1]
        if hints.hidden_size is not None and width != hints.hidden_size:
            problem = f"its vectors have {width} numbers each, the model's hidden size is {hints.hidden_size}"
            turned = vectors.shape[0] == hints.hidden_size
            remedy = "It holds one vector per column: transpose it" if turned else "Load the model that it was made for"
            raise InputError(FIELD, problem, remedy)
        bank = bank.renamed(name) if bank else Bank(_imported_record(path.name, name, vectors, hints), vectors)
        self.save(bank)
        return bank

    def export_file(self, name: str, out: Path, *, overwrite: bool = False) -> Path:
        """Write the bank called ``name`` to ``out``: ``.safetensors`` byte for byte, or ``.pt`` as a bare tensor.

        Raises InputError for a damaged bank, another ending, or a file that is there unless ``overwrite``; and
        StorageError.
        """
        ending = out.suffix.lower()
        if ending not in (ENDING, ".pt"):
            problem = f"a bank cannot be written as “{out.name}”"
            raise InputError("file", problem, "Its name must end in .safetensors, or in .pt for the vectors alone")
        source = self._find(name)
        bank = _load(source)
        if ending == ".pt":
            from melbo_app.engine.checkpoint import tensor_bytes  # torch takes seconds to import

            data = tensor_bytes(bank.vectors)
        else:
            with _reading(source):
                data = source.read_bytes()
        try:
            write_file(out, data, overwrite=overwrite)
        except FileExistsError as error:
            raise InputError(
                "file", f"“{out}” is there already", "Choose another name, or allow overwriting"
            ) from error
        return out

    def _line(self, path: Path, sample: bool) -> BankSummary | None:
        """The line of the shelf for ``path``, remembered for as long as the file is the same."""
        try:
            status = path.stat()
        except OSError:
            return _summary(path, sample)
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._headers.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        line = _summary(path, sample)
        if line is not None and line.record is not None:
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
        # Looked up among the files that are there, so that no name can lead out of the folders.
        wanted = unicodedata.normalize("NFC", name).strip()
        files = [*_files(self._own), *_files(self._samples)]
        for path in [*(p for p in files if p.stem == wanted), *(p for p in files if _key(p.stem) == _key(wanted))]:
            return path
        raise InputError("bank", f"there is no bank called “{wanted[:80]}”", "The Banks list names those there are")


def check_name(name: str) -> str:
    """``name`` without blanks around it. Raises InputError("name", …) where it cannot be the name of a bank."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not _NAME.fullmatch(clean):
        raise InputError("name", f"“{clean[:80]}” cannot be used" if clean else "it is empty", _NAME_RULE)
    if len(clean.encode()) > 200:  # file systems count bytes, and allow 255 with the ending
        raise InputError("name", f"“{clean}” is too long to be a file's name", "Use fewer letters")
    return clean


def _taken(name: str) -> InputError:
    return InputError("name", f"there is a bank called “{name}” already", "Choose another name, or delete that bank")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


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


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn a disk's refusal to read ``path`` into a StorageError, and a missing file into an InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("file", f"there is no file “{path}”", "Check its name and folder") from error
    except OSError as error:
        raise StorageError(f"“{path}” could not be read ({error.strerror or error}).") from error


def _load(path: Path) -> Bank:
    try:
        with _reading(path), open(path, "rb") as stream:
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
        record, count, digest = header.bank_facts()
        record = record.model_copy(update={"name": path.stem})
    except FileNotFoundError:
        return None
    except InputError as error:
        damaged = str(error)
    except OSError as error:
        damaged = f"“{path.name}” could not be read ({error.strerror or error})."
    return BankSummary(path.stem, sample, count, size, changed, record, digest, damaged)


def _name_from(path: Path) -> str:
    """The file's name as the name of a bank, with a dash for every character that cannot be in one."""
    stem = re.sub(r"[^\w .\-]", "-", unicodedata.normalize("NFC", path.stem)).lstrip(" .")
    return stem[:80].strip() or "imported"


def _read_safetensors(path: Path) -> tuple[Bank | None, np.ndarray]:
    """The bank in ``path`` where it is one of ours, and the vectors [V, d] in any case."""
    with _reading(path), open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        header = read_header(stream, size)
        if "melbo" in header.metadata:
            bank = Bank.read(stream, size)
            return bank, bank.vectors
        tables = [name for name, entry in header.tensors.items() if len(entry.shape) == 2]
        if "vectors" not in header.tensors and len(tables) != 1:
            problem = f"it has no tensor “vectors”, and {len(tables)} others with two dimensions"
            raise InputError(FIELD, problem, "It must hold one tensor of the shape [vectors, hidden size]")
        name = "vectors" if "vectors" in header.tensors else tables[0]
        return None, check_vectors(header.read_tensor(stream, name))


def _read_checkpoint(path: Path) -> np.ndarray:
    """The vectors [V, d] in an untrusted PyTorch file."""
    with _reading(path), open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise InputError(FIELD, f"it is {size:,} bytes long", f"At most {MAX_BYTES:,} bytes can be read")
        data = stream.read(size)
    from melbo_app.engine.checkpoint import read_tensor  # torch takes seconds to import

    return check_vectors(read_tensor(data, MAX_ELEMENTS))


def _imported_record(file: str, name: str, vectors: np.ndarray, hints: ImportHints) -> BankRecord:
    """The record of vectors that came without one. Raises InputError for a fact that is missing or cannot be."""
    if not hints.model:
        problem = "the file does not say which model its vectors were made for"
        raise InputError("model", problem, "Load that model, or give it with --model")
    if hints.source is None:
        problem = "the file does not say to which block's output its vectors are added"
        raise InputError("source layer", problem, "Give the block, counted from 0, with --source")
    last = None if hints.blocks is None else hints.blocks - 1
    if hints.source < 0 or (last is not None and hints.source > last):
        remedy = "Blocks are counted from 0" if last is None else f"The model's blocks are 0 to {last}"
        raise InputError("source layer", f"there is no block {hints.source}", remedy)
    if hints.target is not None and (hints.target <= hints.source or (last is not None and hints.target > last)):
        remedy = f"It must be above the source layer {hints.source}" + ("" if last is None else f" and at most {last}")
        raise InputError("target layer", f"{hints.target} cannot be used", remedy)
    if hints.median_norm is not None and not 0 < hints.median_norm < math.inf:
        raise InputError("median norm", f"{hints.median_norm} cannot be used", "It must be above 0")
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    radius = float(np.median(norms))
    notes = [
        f"Imported from “{file}”, which says nothing about its vectors.",
        f"As given: model “{hints.model}”, added to the output of block {hints.source}.",
        f"R = {radius:.4g} is the norm of its rows.",
    ]
    if hints.median_norm is not None:
        notes.append(f"The median residual norm, {hints.median_norm:.4g}, was measured on an example prompt.")
    if norms.max() - norms.min() > 0.01 * radius:
        notes[2] = (
            f"R = {radius:.4g} is the median norm of its rows, which run from {norms.min():.4g} to {norms.max():.4g}."
        )
    if not hints.model_hash:
        notes.append("The hash of the model's weights is not known.")
    return BankRecord(
        name=name,
        model=hints.model,
        model_hash=hints.model_hash or "",
        hidden_size=vectors.shape[1],
        blocks=hints.blocks,
        source=hints.source,
        target=hints.target,
        radius=radius,
        median_norm=hints.median_norm,
        method="imported",
        versions={"melbo_app": __version__, "python": platform.python_version()},
        created=datetime.now(UTC),
        note=" ".join(notes),
    )
