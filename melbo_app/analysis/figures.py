"""The page's plotly figures: pure functions of their data, legible on light and dark pages."""

import html
import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from melbo_app.analysis.projection import MapPoint

FONT = "system-ui, sans-serif"
INK = "#80848c"  # the grey with the same contrast, almost 4:1, against a white and a dark card
GRID = "rgba(128, 128, 128, 0.18)"
CLEAR = "rgba(0, 0, 0, 0)"
GREY = "#8c8c8c"
OUTLINE = "rgba(128, 128, 128, 0.8)"
BESIDE = {"x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}
BARE_AXIS = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True}
GRID_AXIS = {"gridcolor": GRID, "zeroline": False, "ticks": "", "automargin": True}

# Eight of Petroff's ten colours (2021, arXiv:2107.02270), which suit all kinds of colour vision; the purple is lighter
# than his, for dark pages, and as distinct from the others.
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#904cdb", "#a96b59", "#e76300", "#b9ac70", "#92dadd")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
# ColorBrewer's RdBu reversed: negative blue, zero white, positive red.
DIVERGING = ("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
             "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f")  # fmt: skip
# Uniformly lighter, in the hues of viridis: darker colours vanish on a dark page, lighter ones on a light page.
SEQUENTIAL = ("#6f78c9", "#4a8fc0", "#33a3a8", "#37b588", "#63c667", "#93d14b", "#c0d93a")

WRAP, LINES = 60, 8
NAME = 24  # characters of a name that fit in a legend
BESIDE_ROWS = 14  # characters of a name that fit beside the rows of a heat map
PRINTED = 16  # most rows or columns of a heat map whose cells show their values

Colouring = Literal["vector", "radius", "label"]


def map_figure(points: list[MapPoint], colour: Colouring, title: str = "") -> go.Figure:
    """Completions on the map, coloured by vector, by R or by label.

    Each point's ``customdata`` is ``[completion id]``. The baseline is a black star, the random control a hollow grey
    circle. A vector's colour and symbol do not depend on the other points. Without points, the map says so.
    """
    steered = [point for point in points if isinstance(point.vector, int)]
    control = [point for point in points if point.vector == "random"]
    baseline = [point for point in points if point.vector is None]
    figure = empty_figure(title)
    if colour == "radius":
        if steered:
            figure.add_trace(_points(steered, "steered", {**_radius_marker(steered), "size": 10}))
            figure.update_traces(showlegend=False)  # the colour bar replaces the legend
    else:
        for number, name, group in _groups(steered, colour):
            figure.add_trace(_points(group, name, {**_style(number), "size": 10}))
    if control:
        hollow = {"symbol": "circle-open", "color": GREY, "size": 9, "line": {"width": 2, "color": GREY}}
        figure.add_trace(_points(control, "random control", hollow))
    if baseline:
        star = {"symbol": "star", "color": "black", "size": 16, "line": {"width": 1.2, "color": "white"}}
        figure.add_trace(_points(baseline, "baseline", star))
    if not points:
        say(figure, "No completions yet")
    # the legend is beside the points, or below them if the colour bar is beside: never over them
    below = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.02, "yanchor": "top"}
    axis = {"showticklabels": False, "zeroline": False, "gridcolor": GRID, "ticks": "", "title": {"text": ""}}
    figure.update_layout(
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x", "scaleratio": 1},
        legend=below if colour == "radius" else BESIDE,
        showlegend=bool(points),
        hovermode="closest",
        dragmode="pan",
        uirevision="map",
    )
    return figure


def heatmap_figure(matrix: np.ndarray, names: list[str], order: list[int] | None, title: str) -> go.Figure:
    """Cosines ``matrix`` [V, V] of pairs of vectors, rows and columns in this ``order`` (None: unchanged).

    Zero is white and ±1 the full colour, so that figures compare. Up to 16 vectors, the cells show their values; cells
    that are not finite are empty. Raises ``ValueError`` if the shapes of ``matrix``, ``names`` and ``order`` differ.
    """
    count = len(names)
    places = list(range(count)) if order is None else list(order)
    if np.shape(matrix) != (count, count) or sorted(places) != list(range(count)):
        raise ValueError("matrix must be [V, V], names of length V and order a permutation of 0 … V−1")
    sorted_matrix = np.asarray(matrix, dtype=float).reshape(count, count)[np.ix_(places, places)]
    values = [[float(value) if math.isfinite(value) else None for value in row] for row in sorted_matrix]
    shown = [_safe(names[place]) for place in places]
    hover = [
        [f"{a} · {b}: {_number(value)}" for b, value in zip(shown, row, strict=True)]
        for a, row in zip(shown, values, strict=True)
    ]
    gap = 1 if count <= PRINTED else 0
    figure = empty_figure(title)
    figure.add_trace(
        go.Heatmap(
            z=values,
            zmin=-1,
            zmax=1,
            colorscale=colour_scale(DIVERGING),
            text=[[_number(value) for value in row] for row in values] if count <= PRINTED else None,
            texttemplate="%{text}" if count <= PRINTED else None,
            hovertext=hover,
            hoverinfo="text",
            xgap=gap,
            ygap=gap,
            colorbar={"thickness": 12, "outlinewidth": 0, "tickformat": ".1f", "len": 0.9},
        )
    )
    step = max(1, math.ceil(count / 32))  # more names are illegible
    axis = {**BARE_AXIS, "tickvals": list(range(0, count, step)), "constrain": "domain"}
    ticked = [names[place] for place in places[::step]]
    # only the rows have the full names: numbers below the columns leave more room for the cells
    numbers = [_short(name.partition(" · ")[0], BESIDE_ROWS) for name in ticked]
    rows = [_short(name, BESIDE_ROWS) for name in ticked]
    square = {"scaleanchor": "x", "scaleratio": 1}
    figure.update_layout(
        xaxis={**axis, "ticktext": numbers, "range": [-0.5, count - 0.5]},
        yaxis={**axis, "ticktext": rows, "range": [count - 0.5, -0.5], **square},
    )
    if not count:
        say(figure, "No vectors yet")
    return figure


def curves_figure(curves: list[list[float]], done: int, total: int, title: str) -> go.Figure:
    """Objective J of each vector over its own steps, for the training ``title`` at step ``done`` of ``total``.
    Redrawing keeps the zoom. The axis of J is logarithmic if its largest value is more than 50 times its smallest."""
    figure = empty_figure(f"{title}: step {done} of {total}")
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    logarithmic = bool(finite) and min(finite) > 0 and max(finite) > 50 * min(finite)
    for number, curve in enumerate(curves):
        style = _style(number)
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(curve) + 1)),
                y=[value if math.isfinite(value) else None for value in curve],
                name=f"vector {number}",
                mode="lines" if len(curve) > 1 else "markers",
                line={"color": style["color"], "width": 2, "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
                marker={"color": style["color"], "size": 7},
                hovertemplate=f"vector {number}, step %{{x}}: J = %{{y:.4g}}<extra></extra>",
            )
        )
    longest = max(map(len, curves), default=0)
    kind = "log" if logarithmic else "linear"
    figure.update_layout(
        xaxis={**GRID_AXIS, "title": axis_title("step of the vector"), "dtick": 1 if longest <= 10 else None},
        # uirevision: a zoom kept from the other type of axis would show nothing
        yaxis={
            **GRID_AXIS,
            "title": axis_title("objective J: how far the activations move"),
            "type": kind,
            "uirevision": kind,
            "exponentformat": "SI",
            # otherwise every digit of a decade would have a label
            "dtick": "D2" if logarithmic and max(finite) < 1e4 * min(finite) else None,
        },
        legend=BESIDE,
        showlegend=len(curves) > 0,
        uirevision="training",
    )
    if not finite:
        say(figure, "Waiting for the first step")
    return figure


def empty_figure(title: str) -> go.Figure:
    """An empty figure with the common style, without a template."""
    layout: dict[str, Any] = {
        "template": {},
        "autosize": True,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 13, "color": INK},
        "margin": {"l": 16, "r": 16, "t": 44, "b": 16},
        "modebar": {"bgcolor": CLEAR, "color": INK, "activecolor": COLOURS[0]},
        "hoverlabel": {
            "bgcolor": "#2b2f36",
            "bordercolor": GREY,
            "align": "left",
            "font": {"family": FONT, "size": 13, "color": "#f4f4f5"},
        },
    }
    if title:
        layout["title"] = {"text": _safe(title), "x": 0, "xanchor": "left", "pad": {"l": 16}, "font": {"size": 15}}
    return go.Figure(layout=layout)


def say(figure: go.Figure, text: str) -> None:
    """Write ``text`` in the middle of an empty figure."""
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15})
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})


def axis_title(text: str) -> dict[str, Any]:
    return {"text": text, "font": {"size": 13}}


def colour_scale(colours: Sequence[str]) -> list[tuple[float, str]]:
    """Plotly's colorscale of evenly spaced ``colours``."""
    return [(place / (len(colours) - 1), colour) for place, colour in enumerate(colours)]


def _points(points: Sequence[MapPoint], name: str, marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[point.x for point in points],
        y=[point.y for point in points],
        mode="markers",
        name=name,
        marker={"line": {"width": 0.8, "color": OUTLINE}, **marker},
        customdata=[[point.id] for point in points],
        hovertext=[_hover(point) for point in points],
        hoverinfo="text",
    )


def _style(number: int) -> dict[str, str]:
    """Colour and symbol number ``number``: eight colours with circles, then the same with squares, and so on."""
    return {"color": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[number // len(COLOURS) % len(SYMBOLS)]}


def _groups(points: list[MapPoint], colour: Colouring) -> list[tuple[int, str, list[MapPoint]]]:
    """Steered points as (style number, legend name, points), in the order of the legend."""
    if colour == "vector":
        vectors = sorted({point.vector for point in points if isinstance(point.vector, int)})
        members = {vector: [point for point in points if point.vector == vector] for vector in vectors}
        return [
            (vector, _short(f"{vector} · {group[0].label}" if group[0].label else f"vector {vector}"), group)
            for vector, group in members.items()
        ]
    labels = sorted({point.label for point in points}, key=lambda label: (label == "", label.casefold(), label))
    return [
        (number, _short(label or "no label"), [point for point in points if point.label == label])
        for number, label in enumerate(labels)
    ]


def _radius_marker(points: list[MapPoint]) -> dict[str, Any]:
    """Marker colours for R: logarithmic in |R|, diverging if both signs occur; ticks at values that occur."""
    radii = sorted({point.radius for point in points})
    least = min((abs(radius) for radius in radii if radius), default=1.0)
    signed = radii[0] < 0 < radii[-1]

    def place(radius: float) -> float:
        return math.copysign(math.log2(1 + abs(radius) / least), radius)

    step = max(1, math.ceil(len(radii) / 8))
    ticks = radii[::-1][::step][::-1]  # the largest always has a tick
    reach = max(abs(place(radius)) for radius in radii)
    low, high = (-reach, reach) if signed else (place(radii[0]), place(radii[-1]))
    if low == high:
        low, high = low - 1, high + 1
    # without white and the dark ends, which would vanish on a light or dark page
    stops = [*DIVERGING[2:5], *DIVERGING[6:9]] if signed else list(SEQUENTIAL)
    return {
        "color": [place(point.radius) for point in points],
        "cmin": low,
        "cmax": high,
        "colorscale": colour_scale(stops),
        "colorbar": {
            "title": {"text": "R"},
            "tickvals": [place(radius) for radius in ticks],
            "ticktext": [f"{radius:.4g}".replace("-", "−") for radius in ticks],
            "thickness": 12,
            "outlinewidth": 0,
        },
    }


def _hover(point: MapPoint) -> str:
    if point.vector is None:
        head = "baseline"
    else:
        who = "random control" if point.vector == "random" else f"vector {point.vector}"
        head = f"{who} · R = {point.radius:.4g}".replace("-", "−")
    if point.label:
        head += f" · {_safe(point.label)}"
    head += f" · prompt {point.prompt_index + 1}"
    return "<br>".join([f"<b>{head}</b>", *_wrapped(point.text)])


def _wrapped(text: str) -> list[str]:
    """At most eight lines of about sixty characters, escaped for a hover text."""
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, WRAP)] or ["(empty text)"]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], lines[LINES - 1][: WRAP - 2] + " …"]
    return [_safe(line) for line in lines]


def _safe(text: str) -> str:
    """Text escaped for plotly, which would interpret <b>, <a href> and entities."""
    return html.escape(text, quote=False)


def _short(name: str, most: int = NAME) -> str:
    return _safe(name if len(name) <= most else name[: most - 1].rstrip(" ·") + "…")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:z.2f}".replace("-", "−")
