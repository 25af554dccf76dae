"""Reads untrusted PyTorch ``.pt`` files of vectors, and writes the published MELBO layout."""

import io
import threading
import zipfile
from typing import Any

import numpy as np
import torch

from melbo_app.engine.pickled_array import STAND_INS, PickledArray
from melbo_app.errors import InputError

MAX_MEMBERS = 1000
MAX_DEPTH = 6
MAX_PARTS = 20_000

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_REMEDY = (
    "Save it with torch.save(vectors), where vectors is one float tensor [vectors, hidden size] or a dict with one for "
    "each layer"
)
# torch keeps the names that it accepts from files in one set for all threads
_NAMES = threading.Lock()


def read_value(data: bytes, max_elements: int) -> Any:
    """The contents of an untrusted ``.pt`` file as plain Python: float32 arrays of the same shape for tensors and
    arrays, numbers, texts, None, and lists and dicts of these. An entry of another type becomes an InputError that is
    not raised, because the caller may not need it.

    Runs no code from the file. Raises InputError for a file not written by torch.save, and for tensors with more than
    ``max_elements`` numbers in total.
    """
    return _Reader(len(data), max_elements).plain(_load(data))


def read_tensor(data: bytes, max_elements: int) -> np.ndarray:
    """The one dense float tensor in an untrusted ``.pt`` file, as float32 of the same shape. Raises InputError for
    anything else, and for more than ``max_elements`` numbers."""
    value = read_value(data, max_elements)
    if isinstance(value, InputError):
        raise value
    if not isinstance(value, np.ndarray):
        raise InputError("bank file", f"it holds a {type(value).__name__}, not a bare tensor", _REMEDY)
    return value


def read_number(data: bytes) -> float:
    """The one number in an untrusted ``.pt`` file. Raises InputError for anything else."""
    value = read_value(data, 1)
    if isinstance(value, InputError):
        raise value
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if type(value) not in (int, float):
        kind = "tensor" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError("bank file", f"it holds a {kind}, not a bare number", "Save R as a float")
    try:
        return float(value)
    except OverflowError as error:
        raise InputError("bank file", "it holds a number that is too large", "Save R as a float") from error


def tensor_bytes(vectors: np.ndarray) -> bytes:
    """The bytes of ``torch.save`` of ``vectors`` [V, d] as one bare float32 tensor."""
    stream = io.BytesIO()
    torch.save(torch.tensor(vectors, dtype=torch.float32), stream)
    return stream.getvalue()


def number_bytes(value: float) -> bytes:
    """The bytes of ``torch.save`` of a float."""
    stream = io.BytesIO()
    torch.save(float(value), stream)
    return stream.getvalue()


class _Reader:
    """Converts what torch loads to plain Python. A tensor that occurs several times becomes one array; the arrays
    together must not exceed the file's size, whatever it claims."""

    def __init__(self, size: int, max_elements: int) -> None:
        self._size, self._max_elements = size, max_elements
        self._elements = self._bytes = self._parts = 0
        self._known: dict[int, np.ndarray | InputError] = {}

    def plain(self, value: Any, depth: int = 0) -> Any:
        self._parts += 1
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            raise InputError("bank file", "it has too many parts for a file of vectors", _REMEDY)
        if isinstance(value, torch.Tensor | PickledArray):
            if id(value) not in self._known:
                self._known[id(value)] = self._array(value)
            return self._known[id(value)]
        if isinstance(value, dict):
            return {key: self.plain(one, depth + 1) for key, one in value.items() if type(key) in (int, str)}
        if type(value) in (list, tuple, torch.Size):
            return [self.plain(one, depth + 1) for one in value]
        if value is None or type(value) in (bool, int, float, str):
            return value
        return InputError("bank file", f"it holds a {type(value).__name__}, not a tensor", _REMEDY)

    def _array(self, value: torch.Tensor | PickledArray) -> np.ndarray | InputError:
        if isinstance(value, PickledArray):
            held = value.array
            if held is None or held.dtype.kind != "f":
                kind = "nothing" if held is None else str(held.dtype)
                return InputError("bank file", f"its array is of type {kind}, not of floats", _REMEDY)
            self._count(held.size, held.nbytes)
            with np.errstate(over="ignore"):  # overflow becomes infinite, and is refused where it is used
                return np.array(held, dtype=np.float32, order="C")
        if value.dtype not in _FLOATS or value.layout != torch.strided or value.device.type != "cpu":
            kind = str(value.dtype).removeprefix("torch.")
            return InputError("bank file", f"its tensor is of type {kind}, not a dense float tensor", _REMEDY)
        # before copying: an expanded tensor of a few bytes can claim any size
        self._count(value.numel(), value.numel() * value.element_size())
        try:
            return np.array(value.detach().to(torch.float32).contiguous().numpy())
        except Exception:  # tensor subclasses that a file may still describe
            return InputError("bank file", "its tensor cannot be read as numbers", _REMEDY)

    def _count(self, elements: int, size: int) -> None:
        self._elements += elements
        self._bytes += size
        if self._elements > self._max_elements:
            problem = f"its tensor has {self._elements:,} numbers"
            raise InputError("bank file", problem, f"At most {self._max_elements:,} can be read")
        if self._bytes > self._size:
            problem = f"its tensor has {self._elements:,} numbers, and the file {self._size:,} bytes"
            raise InputError("bank file", problem, "Save a copy of it: torch.save(vectors.clone(), …)")


def _load(data: bytes) -> Any:
    """The loaded file. Raises InputError where torch.save did not write it."""
    archive = _checked_archive(data)
    try:
        with _NAMES, torch.serialization.safe_globals(STAND_INS):
            return torch.load(archive, weights_only=True, map_location="cpu")
    except Exception as error:  # a hostile pickle can make the reader raise anything
        problem = "it is damaged, or holds something other than a plain tensor; nothing in it was run"
        raise InputError("bank file", problem, _REMEDY) from error


def _checked_archive(data: bytes) -> io.BytesIO:
    """The archive, repacked because torch's own reader could find other members in the same bytes. Refuses what
    torch.save does not write: old formats and compressed members, which can expand to any size."""
    if data.count(b"PK\1\2") > MAX_MEMBERS:
        raise InputError("bank file", "it has too many members for a file of vectors", _REMEDY)
    fresh = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(fresh, "w") as copy:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise InputError("bank file", "its contents are compressed, which torch.save never does", _REMEDY)
            if sum(member.file_size for member in members) > len(data):
                raise InputError("bank file", "it claims to hold more than its own size", _REMEDY)
            for member in members:
                copy.writestr(zipfile.ZipInfo(member.filename), archive.read(member))
    except InputError:
        raise
    except Exception as error:  # zipfile raises several kinds of error for damaged archives
        problem = "it is truncated, older than PyTorch 1.6, or was not written by torch.save"
        raise InputError("bank file", problem, "Load it in PyTorch and save it again") from error
    fresh.seek(0)
    return fresh
