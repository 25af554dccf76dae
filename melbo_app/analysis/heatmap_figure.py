"""The heat map of a matrix of cosines."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from melbo_app.analysis.figures import (
    BARE_AXIS,
    DIVERGING,
    INK,
    PRINTED,
    colour_scale,
    empty_figure,
    number,
    safe,
    say,
    short,
)
from melbo_app.analysis.order import Line

BESIDE_ROWS = 14  # characters of a name that fit beside the rows
TREE = 0.16  # of the figure's height


def heatmap_figure(
    matrix: np.ndarray, names: list[str], order: list[int] | None, title: str, lines: Sequence[Line] = ()
) -> go.Figure:
    """Cosines ``matrix`` [V, V] of pairs of vectors, rows and columns in this ``order`` (None: unchanged).

    Zero is white and ±1 the full colour, so that figures compare. Up to 16 vectors, the cells show their values; cells
    that are not finite are empty. ``lines`` are the dendrogram of this order, drawn above the columns. Raises
    ``ValueError`` if the shapes of ``matrix``, ``names`` and ``order`` differ.
    """
    count = len(names)
    places = list(range(count)) if order is None else list(order)
    if np.shape(matrix) != (count, count) or sorted(places) != list(range(count)):
        raise ValueError("matrix must be [V, V], names of length V and order a permutation of 0 … V−1")
    sorted_matrix = np.asarray(matrix, dtype=float).reshape(count, count)[np.ix_(places, places)]
    values = [[float(value) if math.isfinite(value) else None for value in row] for row in sorted_matrix]
    shown = [safe(names[place]) for place in places]
    hover = [
        [f"{a} · {b}: {number(value) or 'unknown'}" for b, value in zip(shown, row, strict=True)]
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
            text=[[number(value) for value in row] for row in values] if count <= PRINTED else None,
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
    numbers = [short(name.partition(" · ")[0], BESIDE_ROWS) for name in ticked]
    rows = [short(name, BESIDE_ROWS) for name in ticked]
    square = {"scaleanchor": "x", "scaleratio": 1, "constraintoward": "top", "domain": [0, 1 - TREE * bool(lines)]}
    figure.update_layout(
        xaxis={**axis, "ticktext": numbers, "range": [-0.5, count - 0.5], "anchor": "y"},
        yaxis={**axis, "ticktext": rows, "range": [count - 0.5, -0.5], **square},
        showlegend=False,
    )
    if lines:
        _add_tree(figure, lines)
    if not count:
        say(figure, "No vectors yet")
    return figure


def _add_tree(figure: go.Figure, lines: Sequence[Line]) -> None:
    """Draw a dendrogram over the columns; its leaves end where the cells begin."""
    corners = [corner for line in lines for corner in (*line, (None, None))]
    xs, ys = zip(*corners, strict=True)
    figure.add_trace(
        go.Scatter(
            x=xs, y=ys, yaxis="y2", mode="lines", hoverinfo="skip", line={"color": INK, "width": 1.2}, name="tree"
        )
    )  # fmt: skip
    figure.update_layout(yaxis2={"visible": False, "domain": [1 - TREE, 1], "rangemode": "tozero", "fixedrange": True})
