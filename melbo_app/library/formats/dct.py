"""Deep causal transcoding as published: V and U as bare tensors [hidden size, vectors] with unit columns, R as a float.

The names of the three files differ in one letter: ``run_V.pt``, ``run_U.pt``, ``run_R.pt``, or ``V_run.pt`` and so on.
Other files have such names, too (``vectors_R_9.pt``), so the contents decide.

V is trained at the *input* of block s, which is the output of block s − 1, but the demonstrations add it to the output
of block s.
"""

import io
import re
import zipfile

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, MAX_ELEMENTS, check_vectors
from melbo_app.library.formats.format import Contents, Given, Parcel

_LETTER = re.compile(r"(?P<before>(?:^|.*_))(?P<letter>[VUR])(?P<after>(?:_.*)?\.(?:pt|pth|bin))", re.DOTALL)
# Tolerance on the length of a column: the rounding of bfloat16.
_UNIT = 0.02
_COUNTING = (
    "DCT is trained at the input of the block that it names, but its demonstrations add the vectors to that block's "
    "output; to do the same, import it as counted by output."
)


def letter(name: str) -> str | None:
    """V, U or R if ``name`` is the name of a DCT file, else None."""
    found = _LETTER.fullmatch(name)
    return found["letter"] if found else None


def sibling(name: str, wanted: str) -> str | None:
    """The name of the DCT file of the letter ``wanted`` that belongs to ``name``."""
    found = _LETTER.fullmatch(name)
    return f"{found['before']}{wanted}{found['after']}" if found else None


def is_one_of_three(given: Given) -> bool:
    """Whether a file is DCT's V, U or R, by its name and contents. Raises InputError for a damaged file."""
    named = letter(given.name)
    if named is None:
        return False
    if holds(named, given.data):
        return True
    # a V without unit columns is recognised by the R beside it
    return named == "V" and (data := _beside(given, "R")) is not None and holds("R", data)


def holds(wanted: str, data: bytes) -> bool:
    """Whether a file's contents fit the letter ``wanted``: unit columns for V and U, a single number for R. Raises
    InputError for a damaged file."""
    from melbo_app.engine.torch_file import read_value  # torch takes seconds to import

    value = read_value(data, MAX_ELEMENTS)
    if wanted == "R":
        several = isinstance(value, np.ndarray) and value.size > 1
        return not (several or isinstance(value, dict) or (isinstance(value, list) and len(value) > 1))
    return isinstance(value, np.ndarray) and _has_unit_columns(value)


def read(given: Given) -> Contents:
    """The columns of V, with those of U and with R if their files were given."""
    from melbo_app.engine.torch_file import read_number, read_tensor

    if letter(given.name) in ("U", "R") and is_one_of_three(given):
        problem = f"“{given.name}” belongs to a V file, which holds the vectors"
        raise InputError(FIELD, problem, f"Import “{sibling(given.name, 'V')}”, with this one beside it")
    table = read_tensor(given.data, MAX_ELEMENTS)
    says, outputs, radius = [], None, None
    # Without unit columns it may be any table, like an unnamed one.
    undecided = table.ndim == 2 and not _has_unit_columns(table) and not given.beside
    vectors = _columns(table) if undecided else check_vectors(_columns(table))
    if (data := _beside(given, "U")) is not None:
        outputs = _columns(read_tensor(data, MAX_ELEMENTS))[: len(vectors)]
        if outputs.shape != vectors.shape:
            problem = f"U holds {len(outputs)} columns of {outputs.shape[1]} numbers, V {len(vectors)} of "
            raise InputError(FIELD, problem + f"{vectors.shape[1]}", "They must come from one run")
        says.append("It came with U, the directions of the change at the target layer.")
    if (data := _beside(given, "R")) is not None:
        radius = read_number(data)
        if not 1e-6 < radius < 1e6:
            raise InputError("R", f"{radius:g} in the R file cannot be used", "It must be greater than 0")
        says.append(f"It came with R: {radius:.4g}.")
    return Contents({None: vectors}, "input", _COUNTING, radius, True, outputs, tuple(says), undecided=undecided)


def write(parcel: Parcel) -> bytes:
    """A zip of the three files (two if the bank has no U). All vectors must have the norm R."""
    from melbo_app.engine.torch_file import number_bytes, tensor_bytes

    bank = parcel.bank
    norms = np.linalg.norm(bank.vectors.astype(np.float64), axis=1)
    radius = float(np.median(norms))
    if norms.max() - norms.min() > 1e-3 * radius:
        problem = f"the vectors' norms run from {norms.min():.4g} to {norms.max():.4g}, and DCT has one R for all"
        raise InputError("R", problem, "Give one R for the export")
    files = {"V": tensor_bytes((bank.vectors / norms[:, None]).T), "R": number_bytes(radius)}
    if bank.output_directions is not None:
        files["U"] = tensor_bytes(bank.output_directions.T)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():  # a fixed date: the same bank gives the same bytes
            archive.writestr(zipfile.ZipInfo(f"{parcel.stem}_{name}.pt"), data)
    return stream.getvalue()


def _has_unit_columns(table: np.ndarray) -> bool:
    if table.ndim != 2 or table.size == 0:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(table.astype(np.float64), axis=0)
    return bool(np.all(np.abs(norms - 1) < _UNIT))


def _columns(table: np.ndarray) -> np.ndarray:
    if table.ndim != 2:
        raise InputError(FIELD, f"its tensor has the shape {list(table.shape)}", "It must be [hidden size, vectors]")
    return table.T


def _beside(given: Given, wanted: str) -> bytes | None:
    """The bytes of the file of the letter ``wanted``: the one with the matching name, else the only one."""
    name = sibling(given.name, wanted)
    if name is not None and name in given.beside:
        return given.beside[name]
    others = [data for other, data in given.beside.items() if letter(other) == wanted]
    return others[0] if len(others) == 1 else None
