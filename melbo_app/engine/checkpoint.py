"""A single tensor or number in a PyTorch ``.pt`` file: read from strangers, written in the published MELBO layout."""

import io
import zipfile
from typing import Any

import numpy as np
import torch

from melbo_app.errors import InputError

MAX_MEMBERS = 1000

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_REMEDY = "A file made with torch.save(vectors), where vectors is one float tensor [vectors, hidden size], can be read"


def read_tensor(data: bytes, max_elements: int) -> np.ndarray:
    """The bare float tensor in the bytes of an untrusted ``.pt`` file, as float32 in the shape it has there.

    No code in the file is run. Raises InputError for everything but one dense float tensor of at most
    ``max_elements`` numbers.
    """
    tensor = _load(data)
    if not isinstance(tensor, torch.Tensor):
        raise InputError("bank file", f"it holds a {type(tensor).__name__}, not a bare tensor", _REMEDY)
    if tensor.dtype not in _FLOATS or tensor.layout != torch.strided or tensor.device.type != "cpu":
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InputError("bank file", f"its tensor is of type {kind}, not a dense float tensor", _REMEDY)
    # Counted before anything is copied: an expanded tensor of a few bytes can claim to be of any size.
    if tensor.numel() > max_elements:
        problem = f"its tensor has {tensor.numel():,} numbers"
        raise InputError("bank file", problem, f"At most {max_elements:,} can be read")
    if tensor.numel() * tensor.element_size() > len(data):
        problem = f"its tensor has {tensor.numel():,} numbers, and the file {len(data):,} bytes"
        raise InputError("bank file", problem, "Save a copy of it: torch.save(vectors.clone(), …)")
    try:
        return np.array(tensor.detach().to(torch.float32).contiguous().numpy())
    except Exception as error:  # tensor subclasses that a file may still describe
        raise InputError("bank file", "its tensor cannot be read as numbers", _REMEDY) from error


def read_number(data: bytes) -> float:
    """The bare number in the bytes of an untrusted ``.pt`` file. Raises InputError for everything else."""
    value = _load(data)
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.dtype in _FLOATS and value.device.type == "cpu":
        value = value.item()
    if type(value) not in (int, float):
        raise InputError("bank file", f"it holds a {type(value).__name__}, not a bare number", "Save R as a float")
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


def _load(data: bytes) -> Any:
    """What is in the file. Raises InputError where it is not what torch.save writes."""
    archive = _checked_archive(data)
    try:
        return torch.load(archive, weights_only=True, map_location="cpu")
    except Exception as error:  # a hostile pickle can make the reader raise anything
        problem = "it is damaged, or holds something else than a plain tensor; nothing in it was run"
        raise InputError("bank file", problem, _REMEDY) from error


def _checked_archive(data: bytes) -> io.BytesIO:
    """The archive packed anew. Refuses what torch.save does not write: old formats and compressed members, which can
    unfold to any size.

    Packed anew because torch has a reader of its own, which could find other members in the same bytes.
    """
    if data.count(b"PK\1\2") > MAX_MEMBERS:
        raise InputError("bank file", "it has more members than torch.save writes for a tensor", _REMEDY)
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
    except Exception as error:  # zipfile raises several kinds on damaged archives
        problem = "it is no file of torch.save, or one from before PyTorch 1.6, or cut short"
        raise InputError("bank file", problem, "Load it in PyTorch and save it again") from error
    fresh.seek(0)
    return fresh
