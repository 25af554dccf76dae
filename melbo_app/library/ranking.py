"""Vectors of a bank in order: by what their method says of them, or by the direction they move the model along."""

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank


def by_strength(bank: Bank) -> list[tuple[int, float]]:
    """(vector, strength), the strongest first.

    Raises:
        InputError: the bank's method ranks nothing.
    """
    strength = bank.record.strength
    if strength is None:
        remedy = "Those of transcoding, jacobian, difference-of-means and contrast-pca have"
        raise InputError("bank", f"“{bank.record.name}” has no strengths", remedy)
    return sorted(enumerate(strength), key=lambda entry: -entry[1])  # sorted() keeps equals in their order


def by_direction(bank: Bank, direction: np.ndarray) -> list[tuple[int, float]]:
    """(vector, cosine of its output direction with ``direction`` [d]), the largest cosine first.

    Mack 2024 takes what vectors change near the last layer instead of at the target; docs/methods.md compares.
    """
    outputs, unit = outputs_of(bank).astype(np.float64), direction / np.linalg.norm(direction)
    norms = np.linalg.norm(outputs, axis=1)
    cosines = (outputs @ unit / np.where(norms > 0, norms, 1)).tolist()
    return sorted(enumerate(cosines), key=lambda entry: -entry[1])


def outputs_of(bank: Bank) -> np.ndarray:
    """The bank's output directions [V, d]. Raises InputError where it has none."""
    if bank.output_directions is None:
        problem = f"“{bank.record.name}” does not say what its vectors do at the target layer"
        raise InputError("bank", problem, "Banks trained by transcoding do")
    return bank.output_directions
