"""A diversity curve: the diversity of completions over a grid of R, beside random vectors of the same R."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from melbo_app.analysis.diversity import Diversity


@dataclass(frozen=True)
class CurvePoint:
    """The measurements at one R: over all seeds, and for each."""

    relative_radius: float
    """R as a multiple of the median residual norm at the source."""
    radius: float
    vectors: Diversity
    control: Diversity
    """Random vectors."""
    seeds: tuple[Diversity, ...]
    control_seeds: tuple[Diversity, ...]
    comparisons: tuple[int, ...]
    """Ids of the comparisons with the texts: for each seed the vectors', then the control's."""


@dataclass(frozen=True)
class DiversityCurve:
    """Points in order of R. ``how``: vectors were trained at each R, or one bank was rescaled."""

    how: Literal["trained", "rescaled"]
    bank: str | None
    """The rescaled bank, if a person named one."""
    source: int
    target: int | None
    scope: str | None
    median_norm: float
    seeds: tuple[int, ...]
    points: tuple[CurvePoint, ...]
    finished: bool
    method: str = "joint"
    """Of the trainings, or of the bank."""

    def arrays(self) -> "Curve":
        """The curve as arrays, for the cusp detectors."""
        vectors, control = [point.vectors for point in self.points], [point.control for point in self.points]
        return Curve(
            radii=_array([point.relative_radius for point in self.points]),
            diversity=_array([one.summed_variance for one in vectors]),
            readable_diversity=_array([one.readable_diversity for one in vectors]),
            loss=_array([one.loss for one in vectors]),
            error=_array([one.error for one in vectors]),
            control=_array([one.summed_variance for one in control]),
            control_error=_array([one.error for one in control]),
        )


@dataclass(frozen=True, eq=False)
class Curve:
    """A diversity curve as arrays [n] over growing R, with NaN for unknown values.

    ``diversity`` is the summed variance, ``loss`` in nats a token, ``error`` the standard error of the diversity.
    ``control`` is the diversity of random vectors.
    """

    radii: np.ndarray
    diversity: np.ndarray
    readable_diversity: np.ndarray
    loss: np.ndarray
    error: np.ndarray
    control: np.ndarray
    control_error: np.ndarray

    def __post_init__(self) -> None:
        if not (self.radii > 0).all() or not (np.diff(self.radii) > 0).all():
            raise ValueError("R must be above 0 and grow")


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
