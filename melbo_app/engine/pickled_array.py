"""Reads numpy arrays and numbers in a PyTorch file from their bytes, without numpy's own unpickling."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_CODES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class _Kind:
    """Replaces numpy.dtype."""

    def __init__(self, code: str = "", *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[int, str, *tuple[object, ...]]) -> None:
        self.order = state[1]

    def of(self, data: object, count: int) -> np.ndarray:
        """The numbers in ``data``. Raises ValueError for another type, or another number than ``count``."""
        if self.code not in _CODES or self.order not in ("<", ">", "|", "=") or type(data) is not bytes:
            raise ValueError("an array does not hold numbers")
        kind = np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<")
        if count * kind.itemsize != len(data):
            raise ValueError("an array does not have the size it claims")
        return np.frombuffer(data, kind)


class PickledArray:
    """Replaces numpy.ndarray: ``array`` has its contents, None where the file has none."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Kind, bool, object]) -> None:
        _, shape, kind, turned, data = state
        if not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 8:
            raise ValueError("an array has an invalid shape")
        self.array = kind.of(data, math.prod(shape)).reshape(shape, order="F" if turned else "C")


def _reconstruct(*_: Any) -> PickledArray:
    return PickledArray()


def _scalar(kind: _Kind, data: bytes) -> int | float | bool:
    return kind.of(data, 1)[0].item()


STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Kind, "numpy.dtype"),
    (PickledArray, "numpy.ndarray"),
    *((_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
"""Replacements for numpy's names while a file is read."""
