"""The published MELBO layout, torch.save of one float32 tensor [vectors, hidden size] with rows of norm R; and other
vectors that people save with torch.save."""

from melbo_app.library.bank_vectors import MAX_ELEMENTS
from melbo_app.library.formats.entries import contents_of
from melbo_app.library.formats.format import Contents, Given, Parcel


def read(given: Given) -> Contents:
    """The rows of a tensor, of a list of tensors, or of a dict of them."""
    from melbo_app.engine.torch_file import read_value  # torch takes seconds to import

    return contents_of(read_value(given.data, MAX_ELEMENTS))


def write(parcel: Parcel) -> bytes:
    """Only the vectors: the model, the layer and everything else are lost."""
    from melbo_app.engine.torch_file import tensor_bytes

    return tensor_bytes(parcel.bank.vectors)
