"""The interface of a format of steering vectors: it turns a stranger's bytes into vectors, and vectors into bytes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from melbo_app.library.bank import Bank
from melbo_app.library.label import Label
from melbo_app.library.label_readings import LabelReading

Counted = Literal["output", "input"]
"""The meaning of a layer's number: θ is added to the output, or to the input, of the block with this number."""


@dataclass(frozen=True)
class Given:
    """A file to read: its name, its bytes, and the bytes of the files that came with it, by name."""

    name: str
    data: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Contents:
    """The contents of a file.

    ``layers`` are vectors [V, d] by the file's layer number (None: unnumbered). ``counted`` is how the format counts
    layers; ``counting`` is a sentence with the reason if that is an assumption. ``radius`` is an R stored apart from
    the vectors, which are then ``directions``; without it, a person must give R. ``says`` are sentences on other facts
    in the file. With a ``bank``, everything is known.

    If ``undecided``, the arrays may have other shapes, and ``rows.py`` turns them into [V, d] or asks what their rows
    mean; ``taken`` then describes the decision.
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
    """The contents of a file to write: a bank, the stem of its file names, the labels of its vectors, and what people
    found who tested them."""

    bank: Bank
    stem: str
    labels: Mapping[int, Label] = field(default_factory=dict)
    readings: Mapping[int, Sequence[LabelReading]] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """One format: its name, and how to recognise, read and write its files.

    ``key`` is its name on the command line, ``magic`` the first bytes of its files, ``endings`` the endings of files to
    read, ``writes`` those of files to write. ``read`` raises InputError for every file that it cannot use, even hostile
    ones, and never runs their code. ``write`` returns the bytes of a file, and raises InputError if the format cannot
    express the parcel.
    """

    key: str
    title: str
    writes: tuple[str, ...]
    write: Callable[[Parcel], bytes]
    endings: tuple[str, ...] = ()
    magic: bytes = b""
    read: Callable[[Given], Contents] | None = None


def model_name(model: str) -> str:
    """A model's name for publication: its hub name, or the last part of its local path."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model, re.ASCII):
        return model
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] or model
