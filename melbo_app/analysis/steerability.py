"""Steerability of inputs: slopes of a propensity over the multiple of a vector, and what they depend on (Tan et al.
2024, Analysing the Generalisation and Reliability of Steering Vectors)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.proportion import Z

MULTIPLES = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Of a vector's R, as in the paper."""
DRAWS, SHUFFLES = 2000, 999
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def slopes(propensity: np.ndarray, multiples: Sequence[float] = MULTIPLES) -> np.ndarray:
    """The slope by least squares of each input's propensity [N, M] over the multiples [M]: [N], in units of the
    propensity for one R."""
    centred = np.asarray(multiples, float) - np.mean(multiples)
    return np.asarray(propensity, float) @ centred / (centred @ centred)


def fits(propensity: np.ndarray, multiples: Sequence[float] = MULTIPLES) -> np.ndarray:
    """The share of each input's variance over the multiples that its line explains (R²): [N]; nan where it is flat."""
    propensity = np.asarray(propensity, float)
    centred = np.asarray(multiples, float) - np.mean(multiples)
    whole = ((propensity - propensity.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    line = slopes(propensity, multiples) ** 2 * (centred @ centred)
    return np.divide(line, whole, out=np.full(len(whole), np.nan), where=whole > 1e-18)


def mean_interval(values: np.ndarray, units: Sequence[Hashable], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of the mean over inputs of ``values`` [N, …], by a bootstrap that draws units, as the inputs of
    one unit (one question in two wordings) are not independent: low and high, each […]."""
    values = np.asarray(values, float)
    _, unit = _numbered(units)
    counts = np.bincount(unit).astype(float)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, unit, values)
    drawn = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    means = np.tensordot(drawn, sums, 1) / (drawn @ counts).reshape(-1, *(1 for _ in values.shape[1:]))
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


@dataclass(frozen=True)
class Explained:
    """What a factor explains of the variance of slopes: eta² in this sample; omega², which chance does not raise; and
    p, the share of shufflings of the levels that explain as much."""

    eta2: float
    omega2: float
    p: float


def explained(values: np.ndarray, levels: Sequence[Hashable], units: Sequence[Hashable], seed: int) -> Explained | None:
    """The variance of ``values`` [N] between the levels of a factor; None if it has one level, or the values are equal.

    Levels are shuffled within units where they differ there, and otherwise between units.
    """
    values = np.asarray(values, float)
    names, level = _numbered(levels)
    whole = float(((values - values.mean()) ** 2).sum())
    if len(names) < 2 or len(names) >= len(values) or whole < 1e-18:
        return None
    eta2 = float(_between(values, level[None], len(names))[0]) / whole
    between, within = eta2 * whole, (1 - eta2) * whole / (len(values) - len(names))
    omega2 = (between - (len(names) - 1) * within) / (whole + within)
    shuffled = _between(values, _shuffled(level, _numbered(units)[1], seed), len(names)) / whole
    return Explained(eta2, omega2, float((1 + (shuffled >= eta2 - 1e-12).sum()) / (1 + len(shuffled))))


def _between(values: np.ndarray, levels: np.ndarray, count: int) -> np.ndarray:
    """The sum of squares between ``count`` levels, for each row of ``levels`` [S, N]: [S]."""
    centred, found = values - values.mean(), np.zeros(len(levels))
    for one in range(count):
        here = levels == one
        found += (here @ centred) ** 2 / np.maximum(1, here.sum(axis=1))
    return found


def _shuffled(level: np.ndarray, unit: np.ndarray, seed: int) -> np.ndarray:
    """The levels [N] in SHUFFLES random orders [S, N]."""
    random = np.random.default_rng(seed)
    first = np.array([level[unit == one][0] for one in range(unit.max() + 1)])
    if (first[unit] == level).all():
        return random.permuted(np.tile(first, (SHUFFLES, 1)), axis=1)[:, unit]
    order = np.argsort(unit + random.random((SHUFFLES, len(unit))), axis=1)
    found = np.empty((SHUFFLES, len(unit)), dtype=level.dtype)
    found[:, np.argsort(unit, kind="stable")] = level[order]
    return found


@dataclass(frozen=True)
class Ranks:
    """Spearman's rank correlation of ``n`` pairs, its 95 % interval (Bonett & Wright 2000; None where rho is 1 or −1),
    and p, the share of shufflings with as large a correlation of either sign."""

    rho: float
    n: int
    low: float | None
    high: float | None
    p: float


def ranks(one: Sequence[float], other: Sequence[float], seed: int) -> Ranks | None:
    """The rank correlation of pairs; None for fewer than four, or where all of one side are equal."""
    from scipy.stats import rankdata  # takes a second to import

    n = len(one)
    if n < 4:
        return None
    a, b = (rankdata(np.round(side, 12)) for side in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float((a @ a) * (b @ b)))
    if scale < 1e-12:
        return None
    rho = float(a @ b) / scale
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (SHUFFLES, 1)), axis=1) @ a / scale
    p = float((1 + (np.abs(shuffled) >= abs(rho) - 1e-12).sum()) / (1 + SHUFFLES))
    if abs(rho) > 1 - 1e-9:  # the formula gives an interval of no width, for any n
        return Ranks(rho, n, None, None, p)
    middle = math.atanh(rho)
    slack = Z * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return Ranks(rho, n, math.tanh(middle - slack), math.tanh(middle + slack), p)


def mean_of_few(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of a few values and its 95 % interval by Student's t: mean, low, high; at least two values."""
    from scipy.stats import t  # takes a second to import

    found = np.asarray(values, float)
    slack = float(t.ppf(0.975, len(found) - 1)) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()), float(found.mean()) - slack, float(found.mean()) + slack


def _numbered(names: Sequence[Hashable]) -> tuple[list[Hashable], np.ndarray]:
    """The different names, and the number of each entry's: [N]."""
    places = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [*places], np.array([places[name] for name in names])
