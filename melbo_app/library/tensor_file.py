"""Untrusted safetensors files: the header with every check of the safetensors library, before any tensor is read; and
the checksums in the headers of our own files."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, TypeGuard

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, MAX_BYTES
from melbo_app.quoting import readable

MAX_HEADER = 16 << 20
CONTENTS, SEAL = "contents", "checksum"
"""Names of two checksums in the metadata: of the tensors, and of all other metadata."""

# Bits of every type in the format; and the numpy types of those that we read.
_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
_AGAIN = "Copy or download it again"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor in a header; ``begin`` and ``end`` are byte offsets from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """The checked header of a safetensors file: its tensors by name, its metadata, and the offset of its data."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    start: int

    def read_tensor(self, stream: BinaryIO, name: str) -> np.ndarray:
        """The tensor ``name`` as a float array of its own shape. Raises InputError."""
        entry = self.tensors.get(name)
        if entry is None:
            raise InputError(FIELD, f"it has no tensor named “{name}”")
        if entry.dtype not in _FLOATS:
            remedy = f"It must be one of {', '.join(_FLOATS)}"
            raise InputError(FIELD, f"its tensor “{readable(name)}” is of type {entry.dtype}", remedy)
        values = np.frombuffer(self._bytes(stream, entry), dtype=_FLOATS[entry.dtype]).reshape(entry.shape)
        if entry.dtype == "BF16":  # the upper half of a float32
            values = (values.astype("<u4") << 16).view("<f4")
        return values

    def check_contents(self, stream: BinaryIO) -> None:
        """Raises InputError if the header has a checksum of the tensors that does not match."""
        if (noted := self.metadata.get(CONTENTS)) is None:
            return
        digest = hashlib.sha256()
        for name, entry in sorted(self.tensors.items()):
            digest.update(_title(name, entry.dtype, entry.shape))
            digest.update(self._bytes(stream, entry))
        if digest.hexdigest() != noted:
            _changed()

    def _bytes(self, stream: BinaryIO, entry: TensorEntry) -> bytes:
        stream.seek(self.start + entry.begin)
        data = stream.read(entry.end - entry.begin)
        if len(data) != entry.end - entry.begin:  # truncated during reading
            raise InputError(FIELD, "it is cut short", _AGAIN)
        return data


def read_header(stream: BinaryIO, size: int) -> Header:
    """The header of an untrusted safetensors stream of ``size`` bytes; all its offsets lie within the file.

    Refuses what the safetensors library refuses (overlaps, gaps, bytes left over, sizes that do not match shape and
    type, unknown types), and duplicate keys, which that accepts. Reads only the header, at most 16 MiB.
    Raises InputError.
    """
    if size > MAX_BYTES + MAX_HEADER:
        raise InputError(FIELD, f"it is {size:,} bytes long", f"At most {MAX_BYTES:,} bytes can be read")
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if size < 10 or length > size - 8:
        raise InputError(FIELD, "it is cut short or not a safetensors file", _AGAIN)
    if length > MAX_HEADER:
        raise InputError(FIELD, f"its header is {length:,} bytes long", f"At most {MAX_HEADER:,} bytes can be read")
    content = _json(stream.read(length))
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(FIELD, "its metadata are not strings", "It must be a safetensors file")
    tensors = {name: _entry(name, value, size - 8 - length) for name, value in content.items()}
    _check_layout(tensors, size - 8 - length)
    return Header(tensors, metadata, 8 + length)


def contents_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """The checksum for ``check_contents``: sha256 of the names, shapes and bytes of float32 tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(_title(name, "F32", tensor.shape))
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def sealed(metadata: Mapping[str, str]) -> dict[str, str]:
    """``metadata`` with their checksum."""
    return {**metadata, SEAL: _digest(metadata)}


def check_seal(metadata: Mapping[str, str], usual: frozenset[str]) -> None:
    """Raises InputError if our metadata changed after they were saved. Older files have no checksum and only the keys
    ``usual``: otherwise one flipped bit in the checksum's name would turn a new file into an old one."""
    plain = {name: value for name, value in metadata.items() if name != SEAL}
    is_sound = metadata[SEAL] == _digest(plain) if SEAL in metadata else plain.keys() <= usual
    if not is_sound:
        _changed()


def _changed() -> NoReturn:
    raise InputError(FIELD, "its contents changed after it was saved", "Fetch or export it again")


def _digest(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def _title(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    return json.dumps([name, dtype, list(shape)]).encode() + b"\n"


def _json(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_refuse)
        json.dumps(content, ensure_ascii=False).encode()  # fails for lone surrogates, which cannot be stored
    except (ValueError, RecursionError) as error:
        raise InputError(FIELD, "its header is not valid JSON", "It must be a safetensors file") from error
    if not isinstance(content, dict):
        raise InputError(FIELD, "its header is not a JSON object", "It must be a safetensors file")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(FIELD, f"its header names “{twice[:80]}” twice", _AGAIN)
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not in JSON")


def _entry(name: str, value: Any, room: int) -> TensorEntry:
    """The header entry ``value`` as a TensorEntry that lies within ``room`` bytes of data."""
    entry = value if isinstance(value, dict) else {}
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise InputError(FIELD, f"its header describes the tensor “{readable(name)}” wrongly", _AGAIN)
    begin, end = offsets
    if not begin <= end <= room or len(shape) > 8 or any(count > MAX_BYTES for count in shape):
        raise InputError(FIELD, f"its tensor “{readable(name)}” lies outside the file", _AGAIN)
    if dtype not in _BITS:
        raise InputError(FIELD, f"its tensor “{readable(name)}” has the unknown type “{readable(dtype, 20)}”", _AGAIN)
    if math.prod(shape) * _BITS[dtype] != 8 * (end - begin):
        raise InputError(FIELD, f"its tensor “{readable(name)}” does not have the size of its shape", _AGAIN)
    return TensorEntry(dtype, tuple(shape), begin, end)


def _check_layout(tensors: Mapping[str, TensorEntry], room: int) -> None:
    """Raises InputError unless the tensors follow each other from the first byte of the data to the last."""
    at = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            how = "overlaps another one" if entry.begin < at else f"leaves {entry.begin - at:,} bytes before it unused"
            raise InputError(FIELD, f"its tensor “{readable(name)}” {how}", _AGAIN)
        at = entry.end
    if at != room:
        raise InputError(FIELD, f"{room - at:,} bytes after its tensors are unused", _AGAIN)


def _counts(value: Any) -> TypeGuard[list[int]]:
    """Whether ``value`` is a list of non-negative integers; JSON's true and false do not count."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
