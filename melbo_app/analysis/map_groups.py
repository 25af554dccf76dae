"""The groups of a map's points that share a colour, a symbol and a line of the legend."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from melbo_app.analysis.figures import DIVERGING, GREY, OUTLINE, SEQUENTIAL, SYMBOLS, short, style
from melbo_app.analysis.projection import MapPoint
from melbo_app.analysis.text_clusters import TextCluster

Colouring = Literal["vector", "radius", "label", "verdict", "cluster"]
COLOURINGS: tuple[Colouring, ...] = get_args(Colouring)
SIZE = 10
_VERDICTS = {
    "readable": ("#3f9a5f", "circle"),
    "strange": ("#c98a12", "diamond"),
    "broken": ("#d0443a", "x"),
    None: (GREY, "square"),
}
"""As the chips beside the texts, with a symbol each."""


@dataclass(frozen=True)
class Group:
    """Points with one ``name`` and ``marker``: their places in the list of points."""

    name: str
    marker: dict[str, Any]
    members: list[int]


def map_groups(points: Sequence[MapPoint], colour: Colouring, clusters: Sequence[TextCluster] = ()) -> list[Group]:
    """The groups in the order of the legend. Each differs from the others in symbol as well as in colour.

    The baseline is a black star and the random control a hollow circle in every colouring. A vector's look does not
    depend on the other points.
    """
    steered = [at for at, point in enumerate(points) if isinstance(point.vector, int)]
    grouped = _COLOURS[colour](points, steered, clusters)
    control = [at for at, point in enumerate(points) if point.vector == "random"]
    baseline = [at for at, point in enumerate(points) if point.vector is None]
    hollow = _marker(GREY, "circle-open", 9, line=GREY, width=2)
    star = _marker("black", "star", 16, line="white", width=1.2)
    ends = [Group("random control", hollow, control), Group("baseline", star, baseline)]
    return [*grouped, *(group for group in ends if group.members)]


def _marker(colour: str, symbol: str, size: float = SIZE, line: str = OUTLINE, width: float = 0.8) -> dict[str, Any]:
    return {"color": colour, "symbol": symbol, "size": size, "line": {"color": line, "width": width}}


def _numbered(number: int) -> dict[str, Any]:
    look = style(number)
    return _marker(look["color"], look["symbol"])


def _by(points: Sequence[MapPoint], steered: list[int], key: Callable[[MapPoint], Hashable]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for at in steered:
        found.setdefault(key(points[at]), []).append(at)
    return found


def _vectors(points: Sequence[MapPoint], steered: list[int], clusters: Sequence[TextCluster]) -> list[Group]:
    found = _by(points, steered, lambda point: point.vector)
    return [
        Group(_vector(vector, points[found[vector][0]].label), _numbered(vector), found[vector])
        for vector in sorted(found)
    ]


def _vector(vector: int, label: str) -> str:
    return short(f"{vector} · {label}" if label else f"vector {vector}")


def _labels(points: Sequence[MapPoint], steered: list[int], clusters: Sequence[TextCluster]) -> list[Group]:
    found = _by(points, steered, lambda point: point.label)
    names = sorted(found, key=lambda label: (label == "", label.casefold(), label))
    return [Group(short(name or "no label"), _numbered(at), found[name]) for at, name in enumerate(names)]


def _verdicts(points: Sequence[MapPoint], steered: list[int], clusters: Sequence[TextCluster]) -> list[Group]:
    found = _by(points, steered, lambda point: point.verdict if point.verdict in _VERDICTS else None)
    return [
        Group(name or "not scored", _marker(*look), found[name]) for name, look in _VERDICTS.items() if name in found
    ]


def _clusters(points: Sequence[MapPoint], steered: list[int], clusters: Sequence[TextCluster]) -> list[Group]:
    found = _by(points, steered, lambda point: point.cluster)
    lonely = found.pop(None, [])
    groups = [Group(short(clusters[number].name, 40), _numbered(number), found[number]) for number in sorted(found)]
    return [*groups, Group("in no cluster", _marker(GREY, "diamond-open", 8, line=GREY), lonely)] if lonely else groups


def _radii(points: Sequence[MapPoint], steered: list[int], clusters: Sequence[TextCluster]) -> list[Group]:
    """One group for each R: logarithmic in |R|, diverging if both signs occur."""
    found = _by(points, steered, lambda point: point.radius)
    if not found:
        return []
    radii = sorted(found)
    least = min((abs(radius) for radius in radii if radius), default=1.0)
    signed = radii[0] < 0 < radii[-1]
    # without white and the dark ends, which would vanish on a light or dark page
    stops = [*DIVERGING[2:5], *DIVERGING[6:9]] if signed else SEQUENTIAL

    def place(radius: float) -> float:
        return math.copysign(math.log2(1 + abs(radius) / least), radius)

    reach = max(abs(place(radius)) for radius in radii)
    low, high = (-reach, reach) if signed else (place(radii[0]), place(radii[-1]))
    shares = [0.5 if low == high else (place(radius) - low) / (high - low) for radius in radii]
    colours = [_between(stops, share) for share in shares]
    return [
        Group(f"R = {radius:.4g}".replace("-", "−"), _marker(colour, SYMBOLS[at % len(SYMBOLS)]), found[radius])
        for at, (radius, colour) in enumerate(zip(radii, colours, strict=True))
    ]


def _between(stops: Sequence[str], share: float) -> str:
    """The colour at a ``share`` of the way along evenly spaced ``stops``."""
    parts = np.array([[int(stop[at : at + 2], 16) for at in (1, 3, 5)] for stop in stops])
    mixed = [np.interp(share * (len(stops) - 1), range(len(stops)), parts[:, part]) for part in range(3)]
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


_COLOURS: dict[Colouring, Callable[[Sequence[MapPoint], list[int], Sequence[TextCluster]], list[Group]]] = {
    "vector": _vectors,
    "radius": _radii,
    "label": _labels,
    "verdict": _verdicts,
    "cluster": _clusters,
}
