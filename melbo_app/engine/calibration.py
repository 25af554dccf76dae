"""Finds the R at which Δ leaves the linear regime, without generating text."""

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from melbo_app.engine.causal_map import CausalMap
from melbo_app.engine.jacobian import MEMORY, pushforward, refuse_overflow
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError

DEPARTURE = 0.5
"""The departure from linearity at which Mack (2024) sets R for deep causal transcoding."""
DIRECTIONS = 16
"""Random directions over which the departure is averaged."""
HALVINGS = 3
"""Times that the octave around the root is halved; within the rest the departure is taken as a power of R."""


@dataclass(frozen=True)
class CalibrationProgress:
    """The progress of a calibration."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Calibration:
    """The calibrated R, and the departure at each R that was tried, in rising order."""

    radius: float | None
    """R in absolute units; None where the departure never rose past ``DEPARTURE``."""
    radii: list[float]
    departures: list[float]


def random_directions(width: int, seed: int) -> Tensor:
    """[DIRECTIONS or ``width``, width] float32 unit rows in uniformly random directions."""
    return random_rows(min(DIRECTIONS, width), width, 1.0, torch.Generator().manual_seed(seed))


def calibrate(
    piece: CausalMap,
    mask: Tensor,
    directions: Tensor,
    bracket: tuple[float, float],
    batch: int,
    stop: Stop | None = None,
) -> Generator[CalibrationProgress, None, Calibration]:
    """Solve √(mean ‖Δ(Rv) − R J v‖² / ‖R J v‖²) = ``DEPARTURE`` for R.

    The mean is over directions v, prompts and tokens in scope, and J v is exact: the calibration of Mack 2024, Deep
    Causal Transcoding. The departure is measured an octave of R at a time, from the low end of the bracket; the first
    octave in which it rises past ``DEPARTURE`` is bisected, then interpolated. Rounding errors at tiny R, which fall as
    R rises, are therefore not mistaken for a root. Yields after every batch.

    Args:
        mask: [P, T] bool, the tokens in scope.
        directions: [n, d] unit rows.
        bracket: the smallest and the largest R to try, in absolute units.
        batch: vectors that fit into one forward and backward pass.

    Raises:
        InputError: nothing changes along these directions, or the derivatives overflow.
        Stopped: ``stop()`` became true.
    """
    low, high = bracket
    octaves = math.ceil(math.log2(high / low))
    total = octaves + HALVINGS + 1
    yield CalibrationProgress("differentiating", 0, total)
    directions = directions.to(piece.device)
    slopes = []
    for chunk in directions.split(max(1, batch // MEMORY)):
        slopes.append(pushforward(piece, mask, chunk, stop))
        yield CalibrationProgress("differentiating", 0, total)
    pushed = torch.cat(slopes)
    refuse_overflow(pushed)
    if not bool((pushed.norm(dim=-1) > 0).all()):
        raise InputError("layers", "a vector added at the source does not change the target", "Choose others")
    tried: dict[float, float] = {}

    def measure(radius: float, done: int) -> Generator[CalibrationProgress, None, None]:
        yield (now := CalibrationProgress(f"R = {radius:.3g}", done, total))
        parts = []
        for number, (rows, slope) in enumerate(zip(directions.split(batch), pushed.split(batch), strict=True)):
            if number:
                yield now
            with torch.no_grad():
                straight = radius * slope
                bend = piece.deltas(radius * rows, stop)[:, mask] - straight
            parts.append((bend.norm(dim=-1) / straight.norm(dim=-1)).square().flatten())
        departure = float(torch.cat(parts).mean().sqrt())
        tried[radius] = departure if math.isfinite(departure) else math.inf  # it overflows

    radii = [min(low * 2**octave, high) for octave in range(octaves + 1)]
    root = None
    for done, radius in enumerate(radii):
        yield from measure(radius, done)
        if done and tried[radii[done - 1]] < DEPARTURE <= tried[radius]:
            root = radii[done - 1], radius
            break
    if root is not None:
        below, above = root  # no library's solver: it could not yield to others or be stopped between two steps
        for halving in range(HALVINGS):
            radius = math.sqrt(below * above)
            yield from measure(radius, octaves + 1 + halving)
            below, above = (radius, above) if tried[radius] < DEPARTURE else (below, radius)
        root = below, above
    known = sorted(tried)
    return Calibration(_between(*root, tried) if root else None, known, [tried[radius] for radius in known])


def _between(below: float, above: float, tried: dict[float, float]) -> float:
    """The R at which a power law through two measured departures reaches ``DEPARTURE``."""
    if not math.isfinite(tried[above]) or not tried[below]:
        return math.sqrt(below * above)
    share = math.log(DEPARTURE / tried[below]) / math.log(tried[above] / tried[below])
    return below * (above / below) ** share
