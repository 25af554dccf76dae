"""What a format of steering vectors is: bytes from strangers that become vectors, and vectors that become bytes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from melbo_app.library.bank import Bank
from melbo_app.library.labels import Label

Counted = Literal["output", "input"]
"""What a layer's number means: that θ is added to the output, or to the input, of the block of that number."""


@dataclass(frozen=True)
class Given:
    """A file as it came: its name, its bytes, and those of other files that came with it, by name."""

    name: str
    data: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds and says.

    ``layers`` are vectors [V, d] under the layer's number as the file has it, None where it has none. ``counted`` is
    how the format counts layers, and ``counting`` says why in a sentence where that could be seen otherwise. ``radius``
    is an R that stands apart from the vectors, which are then ``directions``; without it a person must give it.
    ``says`` is what else the file says, as sentences. A ``bank`` is complete: nothing has to be asked.

    Where ``undecided``, the arrays may have other shapes, and ``rows.py`` makes [V, d] of them or asks what their rows
    are; ``taken`` then says as what they were taken.
    """

    layers: Mapping[int | None, np.ndarray]
    counted: Counted = "output"
    counting: str = ""
    radius: float | None = None
    directions: bool = False
    output_directions: np.ndarray | None = None
    says: tuple[str, ...] = ()
    bank: Bank | None = None
    undecided: bool = False
    taken: str = ""


@dataclass(frozen=True, eq=False)
class Parcel:
    """What is to be written: a bank, the name that its files have in common, and the labels of its vectors."""

    bank: Bank
    stem: str
    labels: Mapping[int, Label] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """One format: how it is called, recognised, read and written.

    ``key`` is what a person types, ``magic`` what its files begin with, ``endings`` how their names end, and
    ``writes`` how the names of those end that are written. ``read`` raises InputError for every file that it cannot
    use, however hostile, and runs nothing that is in it. ``write`` gives the bytes of a file, and raises InputError
    where the format cannot say what is in the parcel.
    """

    key: str
    title: str
    writes: tuple[str, ...]
    write: Callable[[Parcel], bytes]
    endings: tuple[str, ...] = ()
    magic: bytes = b""
    read: Callable[[Given], Contents] | None = None


def model_name(model: str) -> str:
    """A model's name as it may be published: its hub name, or the last part of where it lies on this machine."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model, re.ASCII):
        return model
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] or model
