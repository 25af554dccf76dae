"""The heat map of a layer atlas as a plotly figure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from melbo_app.analysis.figures import BARE_AXIS, PRINTED, SEQUENTIAL, axis_title, colour_scale, empty_figure, say

Pair = tuple[int, int]
Measure = Literal["value", "radius", "strength", "kl", "diversity", "readable"]


@dataclass(frozen=True)
class _Described:
    title: str
    digits: str
    logarithmic: bool = False
    span: tuple[float, float] | None = None
    """Range of the colour scale; None for that of the values."""


DESCRIBED: dict[Measure, _Described] = {
    "value": _Described("Leading singular value of the Jacobian", ".3g", logarithmic=True),
    "radius": _Described("Calibrated R × median norm", ".3f", logarithmic=True),
    "strength": _Described("Strength at that R: ‖Δ‖ / ‖Z‖", ".2f"),
    "kl": _Described("KL(steered ‖ unsteered) at that R, nats a token", ".2f"),
    "diversity": _Described("Readable diversity D at that R", ".2f"),
    "readable": _Described("Share of readable texts at that R", ".0%", span=(0.0, 1.0)),
}


def atlas_figure(values: Mapping[Pair, float | None], measure: Measure) -> go.Figure:
    """Values of pairs (source, target): sources upwards, targets to the right.

    The ``customdata`` of a cell is its pair. Pairs whose value is missing, None or not finite stay empty and cannot be
    clicked. Up to 16 targets, the cells show their values. Singular values and R have a logarithmic colour scale.
    """
    described = DESCRIBED[measure]
    figure = empty_figure(described.title)
    known = {pair: value for pair, value in values.items() if value is not None and math.isfinite(value)}
    if not known:
        say(figure, "No pair of layers has a value yet")
        return figure
    sources, targets = sorted({source for source, _ in values}), sorted({target for _, target in values})
    rows = [[known.get((source, target)) for target in targets] for source in sources]
    logarithmic = described.logarithmic and min(known.values()) > 0
    places = [[math.log10(value) if value is not None and logarithmic else value for value in row] for row in rows]
    shown = [place for row in places for place in row if place is not None]
    low, high = described.span or (min(shown), max(shown))
    if low == high:
        low, high = low - 0.5, high + 0.5
    text = [["" if value is None else format(value, described.digits) for value in row] for row in rows]
    ticks = np.linspace(low, high, 5)
    hover = [[f"block {source} → {target}: {cell}" for target, cell in zip(targets, row, strict=True)]
             for source, row in zip(sources, text, strict=True)]  # fmt: skip
    printed = len(targets) <= PRINTED
    figure.add_trace(
        go.Heatmap(
            x=list(map(str, targets)),
            y=list(map(str, sources)),
            z=places,
            zmin=low,
            zmax=high,
            colorscale=colour_scale(SEQUENTIAL),
            customdata=[[[source, target] for target in targets] for source in sources],
            text=text if printed else None,
            texttemplate="%{text}" if printed else None,
            textfont={"color": "#10141a"},
            hovertext=hover,
            hoverinfo="text",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            colorbar={
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": ticks.tolist(),
                "ticktext": [format(10**tick if logarithmic else tick, described.digits) for tick in ticks],
            },
        )
    )
    axis = {**BARE_AXIS, "type": "category"}
    figure.update_layout(
        xaxis={**axis, "title": axis_title("target layer")}, yaxis={**axis, "title": axis_title("source layer")}
    )
    return figure
