"""Safetensors files: our own, with the record in the header, and those of others, with vectors alone."""

import io

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, read_header
from melbo_app.library.bank_vectors import FIELD, check_vectors
from melbo_app.library.formats.format import Contents, Given, Parcel


def read(given: Given) -> Contents:
    """The bank in one of our files; of another one the tensor ``vectors``, or the only one with two dimensions."""
    stream, size = io.BytesIO(given.data), len(given.data)
    header = read_header(stream, size)
    if "melbo" in header.metadata:
        bank = Bank.read(stream, size)
        return Contents({bank.record.source: bank.vectors}, bank=bank)
    tables = [name for name, entry in header.tensors.items() if len(entry.shape) == 2]
    if "vectors" not in header.tensors and len(tables) != 1:
        problem = f"it has no tensor “vectors”, and {len(tables)} others with two dimensions"
        raise InputError(FIELD, problem, "It must hold one tensor of the shape [vectors, hidden size]")
    name = "vectors" if "vectors" in header.tensors else tables[0]
    return Contents({None: check_vectors(header.read_tensor(stream, name))})


def write(parcel: Parcel) -> bytes:
    """The bank as one of our files."""
    return parcel.bank.to_bytes()
