"""The curves of a training: the objective of each vector over its steps."""

import math

import plotly.graph_objects as go

from melbo_app.analysis.figures import BESIDE, COLOURS, DASHES, GRID_AXIS, axis_title, empty_figure, say, style


def curves_figure(curves: list[list[float]], done: int, total: int, title: str) -> go.Figure:
    """Objective J of each vector over its own steps, for the training ``title`` at step ``done`` of ``total``.
    Redrawing keeps the zoom. The axis of J is logarithmic if its largest value is more than 50 times its smallest."""
    figure = empty_figure(f"{title}: step {done} of {total}")
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    logarithmic = bool(finite) and min(finite) > 0 and max(finite) > 50 * min(finite)
    for vector, curve in enumerate(curves):
        look = style(vector)
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(curve) + 1)),
                y=[value if math.isfinite(value) else None for value in curve],
                name=f"vector {vector}",
                mode="lines" if len(curve) > 1 else "markers",
                line={"color": look["color"], "width": 2, "dash": DASHES[vector // len(COLOURS) % len(DASHES)]},
                marker={"color": look["color"], "size": 7},
                hovertemplate=f"vector {vector}, step %{{x}}: J = %{{y:.4g}}<extra></extra>",
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
