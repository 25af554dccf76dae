"""Safetensors files: our own, with the record in the header, and those of others, with only vectors."""

import io
from typing import BinaryIO

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.library.formats.entries import contents_of, one_table
from melbo_app.library.formats.format import Contents, Given, Parcel
from melbo_app.library.formats.layer_name import layer_of
from melbo_app.library.tensor_file import Header, read_header


def read(given: Given) -> Contents:
    """The bank in one of our files; in other files, the tensor ``vectors``, those named after layers, or the only one
    with two dimensions."""
    stream, size = io.BytesIO(given.data), len(given.data)
    header = read_header(stream, size)
    if "melbo" in header.metadata:
        bank = Bank.read(stream, size)
        return Contents({bank.record.source: bank.vectors}, bank=bank)
    wanted = _wanted(header)
    return contents_of({name: _tensor(header, stream, name) if name in wanted else None for name in header.tensors})


def _wanted(header: Header) -> list[str]:
    """The tensors with vectors. Raises InputError for several tables, such as those of a model, without reading any."""
    if "vectors" in header.tensors:
        return ["vectors"]
    if layers := [name for name in header.tensors if layer_of(name)]:
        return layers
    tables = [name for name, entry in header.tensors.items() if len(entry.shape) > 1]
    if len(tables) > 1:
        raise one_table(len(tables), "two dimensions")
    return tables or list(header.tensors)


def _tensor(header: Header, stream: BinaryIO, name: str) -> np.ndarray | InputError:
    """The tensor as float32, or the error of reading it, which matters only if the tensor is used."""
    try:
        values = header.read_tensor(stream, name)
    except InputError as error:
        return error
    with np.errstate(over="ignore"):  # becomes infinite and is refused if it is used
        return values.astype(np.float32)


def write(parcel: Parcel) -> bytes:
    """The bank as one of our files."""
    return parcel.bank.to_bytes()
