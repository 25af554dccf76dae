"""Synthetic diversity curves with known cusps: flat over log R, then a linear rise, a plateau, perhaps a collapse."""

from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.curve import Curve
from melbo_app.studies.curve import default_radii

KINDS = (
    "one cusp, noise .03",
    "one cusp, noise .07",
    "one cusp, noise .12",
    "one cusp, 16 R, noise .07",
    "collapse at large R, noise .07",
    "two cusps, noise .07",
    "flat, noise .07",
    "as the control, noise .07",
    "straight, noise .07",
)
VECTORS = 4  # from which the simulated errors are estimated


@dataclass(frozen=True)
class MadeUp:
    """A curve, and the R at which its diversity starts to rise; None if it has no cusp."""

    curve: Curve
    cusp: float | None


def make(kind: str, seed: int) -> MadeUp:
    """One curve of a kind, with values of the size measured on prompts."""
    random = np.random.default_rng([seed, KINDS.index(kind)])
    noise = float(kind.rsplit(" ", 1)[1])
    radii = np.array(default_radii(16 if "16 R" in kind else 8))
    place = np.log(radii)
    cusp = float(random.uniform(np.log(0.035), np.log(0.12)))
    width, height, floor = random.uniform(0.4, 1.2), random.uniform(0.4, 0.8), random.uniform(0, 0.1)
    later = random.uniform(0.6, 1.2)
    diversity = floor + _ramp(place, cusp, width, height)
    control = floor + _ramp(place, cusp + later, width, height)
    true: float | None = float(np.exp(cusp))
    if "collapse" in kind:
        end = cusp + width + random.uniform(0.1, 0.4)
        diversity = diversity - _ramp(place, end, 0.8, height)
    elif "two" in kind:
        diversity = floor + _ramp(place, cusp, 0.4, height / 2) + _ramp(place, cusp + 1, 0.4, height / 2)
    elif "flat" in kind:
        diversity, control, true = np.full_like(place, floor + height / 3), np.full_like(place, floor), None
    elif "as the control" in kind:
        control, true = diversity, None
    elif "straight" in kind:
        diversity, true = floor + height * (place - place[0]) / (place[-1] - place[0]), None
        control = np.full_like(place, floor)
    # the loss reaches one nat a token between the middle of the rise and shortly after its end
    costly = cusp + random.uniform(0.5, 1.3) * width
    loss = np.exp(1.5 * (place - costly)) + 0.3 * noise * random.normal(size=len(place))
    readable = 1 / (1 + np.exp((loss - 1) / 0.3))
    seen = _seen(diversity, noise, random)
    return MadeUp(
        Curve(
            radii,
            seen,
            readable * seen + readable * (1 - readable) * 0.3,
            loss,
            _errors(len(place), noise, random),
            _seen(control, noise, random),
            _errors(len(place), noise, random),
        ),
        true,
    )


def _ramp(place: np.ndarray, start: float, width: float, height: float) -> np.ndarray:
    return height * np.clip((place - start) / width, 0, 1)


def _seen(values: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    return np.maximum(0, values + noise * random.normal(size=len(values)))


def _errors(count: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """Standard errors as estimated from a few vectors."""
    return noise * np.sqrt(random.chisquare(VECTORS - 1, size=count) / (VECTORS - 1))
