"""Two vectors of a bank that do the same become one."""

from dataclasses import dataclass

import numpy as np

from melbo_app.library.bank import Bank


@dataclass(frozen=True)
class Merging:
    """The ``formula`` of the bank in which one vector, number ``place``, stands for two; ``note`` says so in words."""

    formula: str
    note: str
    place: int


def merging(bank: Bank, one: int, other: int) -> Merging:
    """The bank with the mean of two vectors in the place of the first, and without the second.

    A mean is shorter than its parts, by √2 if they are orthogonal, so it gets their norm again. All other vectors stay
    as they are.
    """
    first, second = sorted((one, other))
    name, count = repr(bank.record.name), len(bank.vectors)
    rows = bank.vectors[[first, second]].astype(np.float64)
    norm = float(np.linalg.norm(rows, axis=1).mean())
    mean = f"scaled(mean({name}[{first}, {second}]), {norm!r})"
    ranges = ((0, first), (first + 1, second), (second + 1, count))
    kept = [f"{name}[{begin}:{end}]" if end > begin else "" for begin, end in ranges]
    parts = [part for part in (kept[0], mean, *kept[1:]) if part]
    short = float(np.linalg.norm(rows.mean(axis=0)))
    note = (
        f"Vectors {first} and {second} of “{bank.record.name}” are merged: vector {first} is their mean, rescaled from "
        f"the norm {short:.4g} to R {norm:.4g}; the vectors after {second} move up by one."
    )
    return Merging(parts[0] if len(parts) == 1 else f"join({', '.join(parts)})", note, first)
