"""A vector's dose–response curve as a plotly figure: a pure function of its points, legible on light and dark pages."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from melbo_app.analysis.figures import COLOURS, GREY, GRID_AXIS, axis_title, empty_figure, safe, style

BELOW = {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0}


class Line(NamedTuple):
    """The mean propensity of a setting at each multiple, with its interval."""

    name: str
    means: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


def reliability_figure(
    multiples: Sequence[float],
    lines: Sequence[Line],
    random: Sequence[tuple[float, float]] | None,
    quantity: str,
    title: str = "",
) -> go.Figure:
    """Mean propensity over the multiple of R: the first line with the band of its interval, beside the range of the
    random vectors' curves; other settings without bands."""
    figure = empty_figure(title)
    if random:
        lows, highs = zip(*random, strict=True)
        _band(figure, multiples, lows, highs, "random vectors, lowest to highest", GREY)
    for number, line in enumerate(lines):
        look = style(number)
        if not number:
            _band(figure, multiples, line.lows, line.highs, "95 % over inputs", COLOURS[0])
        figure.add_trace(
            go.Scatter(
                x=list(multiples), y=list(line.means), name=safe(line.name), mode="lines+markers",
                line={"color": look["color"], "width": 2, "dash": "dot" if number else "solid"},
                marker={**look, "size": 8},
                hovertemplate=f"{safe(line.name)}<br>%{{x:g}} R: %{{y:.3g}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        xaxis={**GRID_AXIS, "title": axis_title("multiple of R"), "tickvals": list(multiples)},
        yaxis={**GRID_AXIS, "title": axis_title(quantity)},
        legend=BELOW,
        showlegend=True,
        hovermode="closest",
    )
    return figure


def _band(
    figure: go.Figure, there: Sequence[float], lows: Sequence[float], highs: Sequence[float], name: str, colour: str
) -> None:
    figure.add_trace(
        go.Scatter(
            x=[*there, *reversed(there)], y=[*lows, *reversed(highs)], name=name, fill="toself", fillcolor=colour,
            opacity=0.2, line={"width": 0}, mode="lines", hoverinfo="skip",
        )
    )  # fmt: skip
