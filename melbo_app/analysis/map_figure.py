"""The map of completions, as a figure with a legend and as what the page draws and recolours by itself."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from melbo_app.analysis.contour import contour
from melbo_app.analysis.figures import BESIDE, GRID, INK, empty_figure, safe, say, short, style
from melbo_app.analysis.map_groups import COLOURINGS, Colouring, map_groups
from melbo_app.analysis.projection import MapPoint
from melbo_app.analysis.text_clusters import TextCluster

MANY = 800
"""From this many points on, WebGL draws an exported figure: a graphics card moves 5,000 in 5 ms, SVG takes 135."""
WRAP, LINES, FEW_LINES = 60, 8, 3
MARGIN = 0.025  # of a contour around its points, as a share of the map's width


def map_figure(
    points: Sequence[MapPoint], colour: Colouring, title: str = "", clusters: Sequence[TextCluster] = ()
) -> go.Figure:
    """Completions on the map, a trace for each group of a ``colour``; without points, the map says so."""
    figure = _bare(title)
    draw = go.Scattergl if len(points) > MANY else go.Scatter
    for group in map_groups(points, colour, clusters):
        members = [points[at] for at in group.members]
        figure.add_trace(draw(**_trace(members), name=group.name, marker=group.marker))
    if colour == "cluster":
        figure.update_layout(**contours(points, clusters))
    if not points:
        say(figure, "No completions yet")
    figure.update_layout(legend=BESIDE, showlegend=bool(points))
    return figure


def map_trace(points: Sequence[MapPoint]) -> go.Figure:
    """All points as one trace without colours: the page adds those of ``map_paints`` and selects among them."""
    figure = _bare("")
    if points:
        figure.add_trace(go.Scatter(**_trace(points), name="completions"))
    else:
        say(figure, "No completions yet")
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 8, "t": 34, "b": 8})
    return figure


def map_paints(points: Sequence[MapPoint], clusters: Sequence[TextCluster]) -> dict[Colouring, dict[str, Any]]:
    """For each colouring: its groups (name, marker, count), the group of each point, and the layout's contours."""
    found: dict[Colouring, dict[str, Any]] = {}
    for colour in COLOURINGS:
        groups = map_groups(points, colour, clusters)
        of = [0] * len(points)
        for number, group in enumerate(groups):
            for at in group.members:
                of[at] = number
        found[colour] = {
            "groups": [{"name": one.name, "marker": one.marker, "count": len(one.members)} for one in groups],
            "of": of,
            **(contours(points, clusters) if colour == "cluster" else {"shapes": [], "annotations": []}),
        }
    return found


def contours(points: Sequence[MapPoint], clusters: Sequence[TextCluster]) -> dict[str, list[dict[str, Any]]]:
    """The clusters' contours as plotly's shapes, and their names as its annotations.

    A contour is the convex hull of a cluster in the picture. The cluster was found in the embeddings, so points of
    others may lie inside.
    """
    if not clusters:
        return {"shapes": [], "annotations": []}
    places = np.array([[point.x, point.y] for point in points])
    margin = MARGIN * (float(np.ptp(places, axis=0).max()) or 1.0)
    shapes, names = [], []
    for number, cluster in enumerate(clusters):
        corners = contour(places[[point.cluster == number for point in points]], margin)
        path = "M" + "L".join(f"{x:.5g},{y:.5g}" for x, y in corners) + "Z"
        colour = style(number)["color"]
        shapes.append(
            {
                "type": "path", "path": path, "layer": "below", "fillcolor": colour, "opacity": 0.16,
                "line": {"color": colour, "width": 1.5},
            }
        )  # fmt: skip
        top = corners[corners[:, 1].argmax()]
        names.append(
            {
                "x": float(top[0]), "y": float(top[1]), "text": short(cluster.name, 40), "showarrow": False,
                "yanchor": "bottom", "font": {"size": 12, "color": INK}, "captureevents": False,
            }
        )  # fmt: skip
    return {"shapes": shapes, "annotations": names}


def _bare(title: str) -> go.Figure:
    figure = empty_figure(title)
    axis = {"showticklabels": False, "zeroline": False, "gridcolor": GRID, "ticks": "", "title": {"text": ""}}
    figure.update_layout(
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x", "scaleratio": 1},
        hovermode="closest",
        dragmode="pan",
        uirevision="map",
    )
    return figure


def _trace(points: Sequence[MapPoint]) -> dict[str, Any]:
    """Each point's ``customdata`` is ``[completion id]``."""
    lines = LINES if len(points) <= MANY else FEW_LINES
    return {
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "mode": "markers",
        "customdata": [[point.id] for point in points],
        "hovertext": [_hover(point, lines) for point in points],
        "hoverinfo": "text",
    }


def _hover(point: MapPoint, lines: int) -> str:
    return "<br>".join([f"<b>{headline(point)}</b>", *_wrapped(point.text, lines)])


def headline(point: MapPoint) -> str:
    """Whose text a point is."""
    if point.vector is None:
        head = "baseline"
    else:
        who = "random control" if point.vector == "random" else f"vector {point.vector}"
        head = f"{who} · R = {point.radius:.4g}".replace("-", "−")
    if point.label:
        head += f" · {safe(point.label)}"
    return f"{head} · prompt {point.prompt_index + 1}"


def _wrapped(text: str, most: int) -> list[str]:
    """At most ``most`` lines of about sixty characters, escaped for a hover text."""
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, WRAP)] or ["(empty text)"]
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: WRAP - 2] + " …"]
    return [safe(line) for line in lines]
