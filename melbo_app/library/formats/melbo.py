"""The published MELBO layout: torch.save of one bare float32 tensor [vectors, hidden size], rows of norm R."""

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, MAX_ELEMENTS, check_vectors
from melbo_app.library.formats.format import Contents, Given, Parcel


def read(given: Given) -> Contents:
    """The rows of the tensor. One that belongs to a DCT file is refused, with what to do."""
    from melbo_app.engine.checkpoint import read_tensor  # torch takes seconds to import

    vectors = read_tensor(given.data, MAX_ELEMENTS)
    if vectors.ndim == 1:
        raise InputError(FIELD, "its tensor is a single row", "It must be [vectors, hidden size]: save vectors[None]")
    return Contents({None: check_vectors(vectors)})


def write(parcel: Parcel) -> bytes:
    """The vectors alone: the model, the layer and all else are lost."""
    from melbo_app.engine.checkpoint import tensor_bytes

    return tensor_bytes(parcel.bank.vectors)
