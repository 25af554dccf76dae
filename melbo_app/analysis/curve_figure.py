"""A diversity curve as a plotly figure: a pure function of its points, legible on light and dark pages."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.cusp import Cusp, standard_error
from melbo_app.analysis.diversity import Diversity
from melbo_app.analysis.figures import COLOURS, GREY, GRID_AXIS, axis_title, empty_figure, say

Quantity = Literal[
    "summed variance", "readable diversity", "cosine distance", "distinct answers", "readable", "loss", "KL"
]

QUANTITIES: dict[Quantity, tuple[str, Callable[[Diversity], float | None]]] = {
    "summed variance": ("diversity: variance of the embeddings", lambda one: one.summed_variance),
    "readable diversity": ("readable diversity D: of the readable answers alone", lambda one: one.readable_diversity),
    "cosine distance": ("mean pairwise cosine distance", lambda one: one.cosine_distance),
    "distinct answers": ("distinct answers", lambda one: one.distinct),
    "readable": ("share of readable texts", lambda one: one.readable),
    "loss": ("loss: how much less likely the texts are, nats a token", lambda one: one.loss),
    "KL": ("KL(steered ‖ unsteered): shift of the next words, nats", lambda one: one.kl),
}
TWO_SIDED = 1.96  # standard errors on either side of a 95 % interval
BELOW = {"orientation": "h", "yanchor": "top", "y": -0.26, "x": 0}  # beside the plot it leaves a phone no plot
NAMES = {
    "half": "half the maximum",
    "readable": "most readable diversity",
    "break": "break point",
    "kneedle": "kneedle",
}


def curve_figure(
    curve: DiversityCurve,
    cusps: Sequence[Cusp] = (),
    quantity: Quantity = "summed variance",
    title: str = "",
    alternative: float | None = None,
) -> go.Figure:
    """One quantity over R as a multiple of the median norm, beside the random control, each with its band (``bands``).

    Each cusp found is a vertical line, with its interval shaded if it has one; ``alternative`` is the R to take where
    there is none. Redrawing as points come in keeps the
    zoom. Each point's ``customdata`` is its index in ``points``, and 1 for the control, else 0.
    """
    name, value = QUANTITIES[quantity]
    figure = empty_figure(title)
    points = curve.points
    for (what, spans), colour in zip(bands(curve, quantity), (COLOURS[0], GREY), strict=True):
        _band(figure, spans, what, colour)
    _line(figure, points, [value(point.control) for point in points], "random vectors", GREY, "dot", 1)
    label = "trained at each R" if curve.how == "trained" else "one bank rescaled"
    _line(figure, points, [value(point.vectors) for point in points], label, COLOURS[0], "solid", 0)
    # named in the legend, because cusps may be close together
    for number, cusp in enumerate(one for one in cusps if one.radius is not None):
        colour = COLOURS[1 + number % (len(COLOURS) - 1)]
        if cusp.low is not None and cusp.high is not None:
            figure.add_vrect(x0=cusp.low, x1=cusp.high, fillcolor=colour, opacity=0.12, line_width=0, layer="below")
        text, line = f"{NAMES[cusp.detector]}: {cusp.radius:.3g}", {"color": colour, "width": 2, "dash": "dash"}
        figure.add_vline(x=cusp.radius, line=line, name=text, showlegend=True)
    if alternative is not None:
        line = {"color": COLOURS[1], "width": 2, "dash": "dot"}
        figure.add_vline(x=alternative, line=line, name=f"most readable change: {alternative:.3g}", showlegend=True)
    ticks = [point.relative_radius for point in points]
    figure.update_layout(
        xaxis={
            **GRID_AXIS,
            "type": "log",
            "title": axis_title("R, multiples of the median residual norm"),
            "tickvals": ticks,
            "ticktext": [f"{tick:.2g}" for tick in ticks],
        },
        yaxis={**GRID_AXIS, "title": axis_title(name), "rangemode": "tozero", "uirevision": quantity},
        legend=BELOW,
        showlegend=bool(points),
        hovermode="closest",
        uirevision="curve",
    )
    if not points:
        say(figure, "Waiting for the first R")
    return figure


def _line(
    figure: go.Figure, points: Sequence[CurvePoint], values: Sequence[float | None], name: str, colour: str, dash: str,
    control: int,
) -> None:  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[point.relative_radius for point in points],
            y=list(values),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"color": colour, "size": 8},
            customdata=[[place, control] for place in range(len(points))],
            hovertemplate=f"{name}<br>R = %{{x:.3g}} × the median norm: %{{y:.3g}}<extra></extra>",
        )
    )


class Span(NamedTuple):
    """A band at one R."""

    radius: float
    low: float
    high: float


def bands(curve: DiversityCurve, quantity: Quantity) -> tuple[tuple[str, list[Span]], tuple[str, list[Span]]]:
    """The bands of the vectors and of the control, with what they are.

    The diversity has the standard error that the detectors use, so that the band shows what they take for chance. The
    other quantities have no error; their band spans the seeds, if there are several.
    """
    value, points = QUANTITIES[quantity][1], curve.points
    mine, theirs = [point.vectors for point in points], [point.control for point in points]
    if quantity == "summed variance" and points:
        return _chance(points, mine, value), _chance(points, theirs, value)
    seeds = [point.seeds for point in points], [point.control_seeds for point in points]
    return _range(points, seeds[0], value), _range(points, seeds[1], value)


def _chance(
    points: Sequence[CurvePoint], those: Sequence[Diversity], value: Callable[[Diversity], float | None]
) -> tuple[str, list[Span]]:
    error = TWO_SIDED * standard_error(np.array([np.nan if one.error is None else one.error for one in those]))
    known = any(one.error is not None for one in those)
    name = "95 % over vectors" if known else "95 % at least: two vectors do not tell"
    middle = [value(one) or 0.0 for one in those]
    spans = [
        Span(point.relative_radius, max(0.0, at - error), at + error) for point, at in zip(points, middle, strict=True)
    ]
    return name, spans


def _range(
    points: Sequence[CurvePoint], of_seeds: Sequence[Sequence[Diversity]], value: Callable[[Diversity], float | None]
) -> tuple[str, list[Span]]:
    spans = []
    for point, seeds in zip(points, of_seeds, strict=True):
        known = [found for one in seeds if (found := value(one)) is not None]
        if len(seeds) > 1 and known:
            spans.append(Span(point.relative_radius, min(known), max(known)))
    return "lowest to highest seed", spans


def _band(figure: go.Figure, spans: Sequence[Span], name: str, colour: str) -> None:
    if not spans:
        return
    there = [one.radius for one in spans]
    figure.add_trace(
        go.Scatter(
            x=[*there, *reversed(there)],
            y=[*(one.low for one in spans), *(one.high for one in reversed(spans))],
            name=name,
            fill="toself",
            fillcolor=colour,
            opacity=0.18,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=colour != GREY,
        )
    )
