"""Importing a stranger's file as a bank: what the file says, what a person must add, and the record of both."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.atomic import refused
from melbo_app.library.bank import Bank, BankRecord, ImportHints
from melbo_app.library.bank_vectors import FIELD, MAX_BYTES
from melbo_app.library.formats import dct
from melbo_app.library.formats.format import Contents, Format, Given
from melbo_app.library.formats.known import DCT, ENDINGS, READ, by_key, ending_of, format_of
from melbo_app.library.formats.rows import check_rows, settled
from melbo_app.library.tensor_file import MAX_HEADER
from melbo_app.library.versions import versions
from melbo_app.quoting import readable


def read_file(path: Path, format: str | None = None, beside: Sequence[Path] = ()) -> tuple[Format, Contents]:
    """The contents of ``path``, in the format of that key or in the recognised one.

    ``beside`` are other files of the same vectors: U and R of a DCT file, which are also looked for in its folder.
    The meaning of the rows may still be undecided (``formats/rows.py``). Raises InputError and StorageError.
    """
    wanted = by_key(format, READ) if format else None
    if wanted is None and ending_of(path.name) not in ENDINGS and path.is_dir():
        raise InputError(FIELD, f"“{path.name}” is a folder", f"Files that end in {', '.join(ENDINGS)} can be read")
    data = _bytes(path)
    others = {other.name: _bytes(other) for other in beside}
    if wanted in (None, DCT) and dct.letter(path.name) == "V":
        for letter in "UR":
            name = dct.sibling(path.name, letter)
            if name and name not in others and (path.parent / name).is_file():
                found_there = _bytes(path.parent / name)
                if _belongs(letter, found_there, data):
                    others[name] = found_there
    given = Given(path.name, data, others)
    found = wanted or format_of(given)
    if beside and found is not DCT:
        problem = f"“{readable(path.name, 160)}” is read as {found.title}, which is a single file"
        raise InputError(FIELD, problem, "Give it alone; only DCT's V, U and R belong together")
    assert found.read is not None
    return found, found.read(given)


def source_of(contents: Contents, hints: ImportHints) -> int:
    """The block to whose output the vectors are added. Raises InputError if neither the file nor ``hints`` say."""
    layer = _layer_of(contents, hints.source)
    if layer < 0 and layer in contents.layers:
        if hints.blocks is None:
            problem = "the file counts layers from the end, and the model's number of blocks is unknown"
            raise InputError("model", problem, "Load that model, or give it with --model")
        # the last block's output is also the last hidden state
        source = hints.blocks + layer - (hints.counted == "input")
    else:
        if hints.counted not in (None, "output", "input"):
            raise InputError("counted by", f"“{hints.counted}” is not known", "Choose output or input")
        source = layer - ((hints.counted or contents.counted) == "input")
    if source < 0:
        if layer < 0:
            raise InputError("source layer", f"there is no block {layer}", "Blocks are counted from 0")
        problem = "the input of block 0 is not the output of any block"
        raise InputError("source layer", problem, "Choose a later block, or say that it is counted by output")
    return source


def check_import(contents: Contents, hints: ImportHints) -> None:
    """Raises InputError for what is missing or wrong for any model, before the model is known."""
    check_rows(hints.rows)
    if contents.undecided:
        _layer_of(contents, hints.source)
        _check_radius(hints.radius)
        return
    settled(contents, hints)
    source_of(contents, hints)
    _scaled(_vectors(contents, hints), contents, hints.radius)


def imported_bank(file: str, name: str, format: Format, contents: Contents, hints: ImportHints) -> Bank:
    """The bank of a file without a record. Raises InputError for a missing or impossible fact, or if a person must say
    what the rows of the file mean."""
    named = None not in contents.layers
    contents = settled(contents, hints)
    if not hints.model:
        raise InputError("model", "the file does not name its model", "Load that model, or give it with --model")
    source = source_of(contents, hints)
    _check_layers(source, hints)
    if hints.median_norm is not None and not 0 < hints.median_norm < math.inf:
        raise InputError("median norm", f"{hints.median_norm} cannot be used", "It must be above 0")
    layer = _layer_of(contents, hints.source)
    vectors, about_radius = _scaled(_vectors(contents, hints), contents, hints.radius)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    radius = float(np.median(norms))
    silent = "whose rows are named by layer" if named else "which says nothing about its vectors"
    silent = f"read as {format.title}" if contents.says else silent
    notes = [f"Imported from “{readable(file, 160)}”, {silent}.", *contents.says]
    whose = "as given" if hints.source is not None else "as the file says"
    notes.append(f"Its model was taken to be “{hints.model}”.")
    notes += [contents.taken] if contents.taken else []
    notes.append(f"The layer is {layer}, {whose}, {_where(layer, source, hints)}.")
    if contents.counting and hints.counted is None:
        notes.append(f"That is an assumption: {contents.counting}")
    spread = norms.max() - norms.min() > 0.01 * radius
    which = f"the median norm of its rows, which run from {norms.min():.4g} to {norms.max():.4g}"
    notes.append(f"R = {radius:.4g} is {which}." if spread else f"R = {radius:.4g} is {about_radius}.")
    if hints.median_norm is not None:
        notes.append(f"The median residual norm, {hints.median_norm:.4g}, was measured on an example prompt.")
    if not hints.model_hash:
        notes.append("The hash of the model's weights is not known.")
    record = BankRecord(
        name=name,
        model=hints.model,
        model_hash=hints.model_hash or "",
        hidden_size=vectors.shape[1],
        blocks=hints.blocks,
        source=source,
        target=hints.target,
        radius=radius,
        median_norm=hints.median_norm,
        method="imported",
        versions=versions(),
        created=datetime.now(UTC),
        note=" ".join(notes),
    )
    return Bank(record, vectors, contents.output_directions)


def check_width(contents: Contents, hidden_size: int | None) -> None:
    """Raises InputError if the vectors' length is not the model's hidden size."""
    vectors = next(iter(contents.layers.values()))
    width = vectors.shape[-1]
    if hidden_size is None or width == hidden_size:
        return
    problem = f"its vectors have {width} numbers each, the model's hidden size is {hidden_size}"
    remedy = "Load the model that it was made for"
    if vectors.shape[0] == hidden_size:
        by_row = "It holds one vector per row: give its format as melbo"
        remedy = by_row if contents.directions else "It holds one vector per column: give its format as dct"
    raise InputError(FIELD, problem, remedy)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the disk's refusal to read ``path`` into a StorageError, and a missing file into an InputError."""
    with refused(f"“{path}” could not be read"):
        try:
            yield
        except FileNotFoundError as error:
            raise InputError("file", f"there is no file “{path}”", "Check its name and folder") from error


def _belongs(letter: str, found_there: bytes, main: bytes) -> bool:
    """Whether a file with the name of a DCT file is one. An unreadable one counts if ``main`` is a V, so that reading
    it raises the error."""
    try:
        return dct.holds(letter, found_there)
    except InputError:
        return dct.holds("V", main)


def _bytes(path: Path) -> bytes:
    with reading(path), open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES + MAX_HEADER:
            raise InputError(FIELD, f"it is {size:,} bytes long", f"At most {MAX_BYTES:,} bytes can be read")
        return stream.read(size)


def _layer_of(contents: Contents, wanted: int | None) -> int:
    """The layer as the file counts it: ``wanted``, or the only one."""
    known = sorted(layer for layer in contents.layers if layer is not None)
    if not known:
        if wanted is None:
            problem = "the file does not say to which block's output its vectors are added"
            raise InputError("source layer", problem, "Give the block, counted from 0, with --source")
        return wanted
    if wanted is None and len(known) == 1:
        return known[0]
    layers = ", ".join(map(str, known)) if len(known) <= 8 else f"{known[0]} to {known[-1]} ({len(known)} of them)"
    if wanted is None:
        problem = f"the file holds a vector for each of the layers {layers}, and a bank has one source layer"
        raise InputError("source layer", problem, "Choose one with --source")
    if wanted not in known:
        raise InputError("source layer", f"the file holds nothing for layer {wanted}", f"Choose from {layers}")
    return wanted


def _vectors(contents: Contents, hints: ImportHints) -> np.ndarray:
    return contents.layers[None if None in contents.layers else _layer_of(contents, hints.source)]


def _where(layer: int, source: int, hints: ImportHints) -> str:
    """The meaning given to the layer's number."""
    how = "taken as" if hints.counted is None else "counted as given:"
    if layer == source:
        return f"{how} the output of block {source}"
    return f"{how} the input of block {layer}, which is the output of block {source}"


def _check_layers(source: int, hints: ImportHints) -> None:
    last = None if hints.blocks is None else hints.blocks - 1
    if last is not None and source > last:
        raise InputError("source layer", f"there is no block {source}", f"The model's blocks are 0 to {last}")
    if hints.target is not None and (hints.target <= source or (last is not None and hints.target > last)):
        remedy = f"It must be above the source layer {source}" + ("" if last is None else f" and at most {last}")
        raise InputError("target layer", f"{hints.target} cannot be used", remedy)


def _check_radius(radius: float | None) -> None:
    if radius is not None and not 1e-6 < radius < 1e6:
        raise InputError("R", f"{radius:g} cannot be used", "It must be above 0")


def _scaled(vectors: np.ndarray, contents: Contents, radius: float | None) -> tuple[np.ndarray, str]:
    """The vectors scaled to the R that a person or the file gives separately, and a description of that R."""
    if radius is not None:
        _check_radius(radius)
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return (vectors * (radius / norms)).astype(np.float32), "as given; the directions are the file's"
    if contents.radius is not None:
        return (vectors * np.float32(contents.radius)).astype(np.float32), "the number in the R file"
    if contents.directions:
        raise InputError("R", "the file holds directions and no R", "Give it with --radius, or add the R file")
    return vectors, "the norm of its rows"
