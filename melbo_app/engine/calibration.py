"""The R at which Δ leaves the linear regime, found without generating any text."""

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from melbo_app.engine.causal_map import CausalMap
from melbo_app.engine.jacobian import MEMORY, pushforward
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError

DEPARTURE = 0.5
"""The departure from linearity that is looked for, as Mack (2024) chooses R for deep causal transcoding."""
DIRECTIONS = 16
"""Random directions that the departure is a mean over."""
HALVINGS = 3
"""Of the octave that the root lies in; within what is left the departure is a power of R."""


@dataclass(frozen=True)
class CalibrationProgress:
    """Where a calibration stands."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Calibration:
    """What was found. ``radii`` and ``departures`` are what was tried, by rising R."""

    radius: float | None
    """R in absolute units; None where no departure of the wanted size was crossed on the way up."""
    radii: list[float]
    departures: list[float]


def random_directions(width: int, seed: int, count: int = DIRECTIONS) -> Tensor:
    """[count, width] float32 unit rows in uniformly random directions."""
    return random_rows(min(count, width), width, 1.0, torch.Generator().manual_seed(seed))


def calibrate(
    piece: CausalMap,
    mask: Tensor,
    directions: Tensor,
    bracket: tuple[float, float],
    batch: int,
    stop: Stop | None = None,
    departure: float = DEPARTURE,
) -> Generator[CalibrationProgress, None, Calibration]:
    """Solve √(mean ‖Δ(Rv) − R J v‖² / ‖R J v‖²) = ``departure`` for R.

    The mean is over directions v, prompts and tokens in scope, and J v is exact (Mack 2024, Deep Causal Transcoding,
    calibrates in this way). The departure is looked at in octaves from the low end of the bracket on; the first one in
    which it rises past what is wanted is halved, and then interpolated. So what rounding adds where R is tiny, which
    falls as R rises, is not taken for a root. Yields after every batch.

    Args:
        mask: [P, T] bool, the tokens in scope.
        directions: [n, d] unit rows.
        bracket: the least and the largest R that are looked at, in absolute units.
        batch: vectors that fit into one forward and backward pass.

    Raises:
        InputError: nothing changes along these directions, or derivatives too large for the numbers of the model.
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
    _refuse(pushed)
    tried: dict[float, float] = {}
    radii = [min(low * 2**octave, high) for octave in range(octaves + 1)]
    root = None
    for done, radius in enumerate(radii):
        yield (now := CalibrationProgress(f"R = {radius:.3g}", done, total))
        tried[radius] = yield from _departure(piece, mask, directions, pushed, radius, batch, stop, now)
        if done and tried[radii[done - 1]] < departure <= tried[radius]:
            root = radii[done - 1], radius
            break
    if root is not None:
        # by hand, and not by a library's solver: between two looks others may compute, or the work be stopped
        below, above = root
        for halving in range(HALVINGS):
            radius = math.sqrt(below * above)
            yield (now := CalibrationProgress(f"R = {radius:.3g}", octaves + 1 + halving, total))
            tried[radius] = yield from _departure(piece, mask, directions, pushed, radius, batch, stop, now)
            below, above = (radius, above) if tried[radius] < departure else (below, radius)
        root = below, above
    known = sorted(tried)
    return Calibration(_between(*root, tried, departure) if root else None, known, [tried[radius] for radius in known])


def _between(below: float, above: float, tried: dict[float, float], departure: float) -> float:
    """Where the power of R through the departures at two R has the wanted size."""
    if not math.isfinite(tried[above]) or not tried[below]:
        return math.sqrt(below * above)
    share = math.log(departure / tried[below]) / math.log(tried[above] / tried[below])
    return below * (above / below) ** share


def _departure(
    piece: CausalMap, mask: Tensor, directions: Tensor, pushed: Tensor, radius: float, batch: int, stop: Stop | None,
    now: CalibrationProgress,
) -> Generator[CalibrationProgress, None, float]:  # fmt: skip
    """How far Δ(Rv) is from R J v, against the latter; infinite where numbers overflow. Yields ``now`` on its way."""
    parts = []
    for number, (rows, slope) in enumerate(zip(directions.split(batch), pushed.split(batch), strict=True)):
        if number:
            yield now
        with torch.no_grad():
            straight = radius * slope
            bend = piece.deltas(radius * rows, stop)[:, mask] - straight
        parts.append((bend.norm(dim=-1) / straight.norm(dim=-1)).square().flatten())
    value = float(torch.cat(parts).mean().sqrt())
    return value if math.isfinite(value) else math.inf


def _refuse(pushed: Tensor) -> None:
    if not bool(pushed.isfinite().all()):
        raise InputError(
            "layers",
            "the derivative between them is too large for the numbers of this model",
            "Bring them closer together, or load the model in float32",
        )
    if not bool((pushed.norm(dim=-1) > 0).all()):
        raise InputError("layers", "nothing of what is added at the source arrives at the target", "Choose others")
