"""What the inputs of one setting say of a vector: the figures of its card."""

from collections.abc import Hashable, Sequence
from typing import Literal, TypedDict

import numpy as np

from melbo_app.analysis.proportion import clustered, interval
from melbo_app.analysis.steerability import QUANTILES, explained, fits, mean_interval, slopes
from melbo_app.library.contrast_sets import FACTORS, ContrastInput, Setting
from melbo_app.library.reliability import SteeredInputs

Interval = tuple[float, float]


class Level(TypedDict):
    """The inputs of one level of a factor, or of one group, and their mean slope."""

    name: str
    inputs: int
    mean: float


class FactorLine(TypedDict):
    """The share of the variance of slopes that a factor explains. ``eta2`` holds in this sample, and is above 0 by
    chance alone; ``omega2`` is adjusted, about 0 for a factor without effect; ``p`` is by shuffling."""

    factor: str
    levels: list[Level]
    eta2: float
    omega2: float
    p: float


class Dose(TypedDict):
    """The propensity at one multiple of R: the mean over inputs, its interval, and the share of readable texts."""

    multiple: float
    mean: float
    interval: Interval
    readable: float | None


class Against(TypedDict):
    """The inputs whose slope has the other sign than the mean."""

    count: int
    n: int
    share: float
    interval: Interval


class Card(TypedDict):
    """A vector in one setting. ``mean`` is the mean slope, ``direction`` its sign if the interval leaves 0 out; ``fit``
    is the median R² of the inputs' lines, ``curve_fit`` that of the mean curve. ``worst_group`` has the smallest slope
    in the mean's direction. ``slopes`` are in the order of the inputs."""

    setting: str
    inputs: int
    mean: float
    interval: Interval
    direction: Literal["up", "down", "none"]
    sd: float
    quantiles: dict[str, float]
    against: Against
    fit: float | None
    curve_fit: float | None
    flat: bool
    curve: list[Dose]
    factors: list[FactorLine]
    not_varied: list[str]
    groups: list[Level]
    worst_group: Level | None
    slopes: list[float]


def card(setting: Setting, at: int, one: SteeredInputs, multiples: Sequence[float], seed: int) -> Card:
    """The card of a vector in the setting with the number ``at``."""
    values, units = np.array(one.propensities[at], float), units_of(setting.inputs)
    each = slopes(values, multiples)
    mean = float(each.mean())
    low, high = (float(side) for side in mean_interval(each, units, seed))
    fit, curve_fit = fits(values, multiples), fits(values.mean(axis=0, keepdims=True), multiples)
    lows, highs = mean_interval(values, units, seed)
    readable = None if one.readable is None else np.array(one.readable[at], float).mean(axis=0)
    factors, not_varied = _factors(setting, each, units, seed)
    groups = _levels([line.group for line in setting.inputs], each)
    return {
        "setting": setting.name,
        "inputs": len(each),
        "mean": mean,
        "interval": (low, high),
        "direction": "up" if low > 0 else "down" if high < 0 else "none",
        "sd": float(each.std(ddof=1)),
        "quantiles": {f"{q:g}": float(np.quantile(each, q)) for q in QUANTILES},
        "against": _against(each, mean, units),
        "fit": float(np.nanmedian(fit)) if np.isfinite(fit).any() else None,
        "curve_fit": float(curve_fit[0]) if np.isfinite(curve_fit[0]) else None,
        "flat": bool(np.ptp(values) == 0),
        "curve": [
            {
                "multiple": multiple, "mean": float(values[:, place].mean()),
                "interval": (float(lows[place]), float(highs[place])),
                "readable": None if readable is None else float(readable[place]),
            }
            for place, multiple in enumerate(multiples)
        ],
        "factors": factors,
        "not_varied": not_varied,
        "groups": groups,
        "worst_group": min(groups, key=lambda line: line["mean"] * (-1 if mean < 0 else 1))
        if len(groups) > 1
        else None,
        "slopes": each.tolist(),
    }  # fmt: skip


def units_of(inputs: Sequence[ContrastInput]) -> list[Hashable]:
    """What each input asks: inputs with the same id are one unit."""
    return [number if one.id is None else one.id for number, one in enumerate(inputs)]


def by_id(setting: Setting, values: Sequence[float]) -> dict[str, float]:
    """The mean value of the inputs with each id."""
    found: dict[str, list[float]] = {}
    for one, value in zip(setting.inputs, values, strict=True):
        if one.id is not None:
            found.setdefault(one.id, []).append(value)
    return {id: sum(some) / len(some) for id, some in found.items()}


def _against(each: np.ndarray, mean: float, units: Sequence[Hashable]) -> Against:
    against = each * np.sign(mean) < 0
    counts, found = dict[Hashable, int](), dict[Hashable, int]()
    for unit, one in zip(units, against, strict=True):
        counts[unit] = counts.get(unit, 0) + 1
        found[unit] = found.get(unit, 0) + int(one)
    sizes = {*counts.values()}
    count, n = int(against.sum()), len(each)
    spread = clustered([*found.values()], sizes.pop()) if len(sizes) == 1 else interval(count, n)
    return {"count": count, "n": n, "share": count / n, "interval": spread}


def _factors(
    setting: Setting, each: np.ndarray, units: Sequence[Hashable], seed: int
) -> tuple[list[FactorLine], list[str]]:
    lines: list[FactorLine] = []
    not_varied = []
    for factor in FACTORS:
        levels = [_level(one, factor) for one in setting.inputs]
        found = explained(each, levels, units, seed)
        if found is None:
            not_varied.append(factor)
            continue
        lines.append(
            {
                "factor": factor, "levels": _levels(levels, each), "eta2": found.eta2, "omega2": found.omega2,
                "p": found.p,
            }
        )  # fmt: skip
    return lines, not_varied


def _level(one: ContrastInput, factor: str) -> str:
    value = one.prompt.system if factor == "system" else getattr(one, factor)
    return value or "none"


def _levels(names: Sequence[str], each: np.ndarray) -> list[Level]:
    found: dict[str, list[float]] = {}
    for name, value in zip(names, each, strict=True):
        found.setdefault(name, []).append(float(value))
    return [{"name": name, "inputs": len(some), "mean": sum(some) / len(some)} for name, some in found.items()]
