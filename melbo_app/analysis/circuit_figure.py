"""The map of a circuit: the effects of heads and MLPs as a plotly figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from melbo_app.analysis.figures import BARE_AXIS, DIVERGING, INK, PRINTED, axis_title, colour_scale, empty_figure, say

MLP = "MLP"
TICKS = 16
"""Most names below the columns."""


@dataclass(frozen=True)
class Cell:
    """One part: its block, its column (the head's number, “attention” or “MLP”), its effect as a share, whether it was
    patched exactly, and whether it is in the smallest set."""

    block: int
    column: str
    effect: float
    exact: bool
    chosen: bool


def circuit_figure(cells: Sequence[Cell]) -> go.Figure:
    """Blocks upwards, heads to the right and then MLPs; a cell's colour is the share of the effect that is lost without
    the part. Parts of the smallest set have a ring.

    The ``customdata`` of a cell is its place in ``cells``; those whose place in the map is empty cannot be clicked.
    """
    figure = empty_figure("Share of the effect that is lost when a part is restored")
    if not cells:
        say(figure, "No part was measured")
        return figure
    heads = sorted({one.column for one in cells if one.column != MLP}, key=lambda one: (len(one), one))
    columns, blocks = [*heads, MLP], sorted({one.block for one in cells})
    places = {(one.block, one.column): at for at, one in enumerate(cells)}
    rows = [[places.get((block, column)) for column in columns] for block in blocks]
    most = max(0.01, *(abs(one.effect) for one in cells))
    hover = [["" if at is None else _hover(cells[at]) for at in row] for row in rows]
    printed = len(columns) <= PRINTED // 2
    figure.add_trace(
        go.Heatmap(
            x=list(range(len(columns))),
            y=blocks,
            z=[[None if at is None else cells[at].effect for at in row] for row in rows],
            zmin=-most,
            zmax=most,
            colorscale=colour_scale(DIVERGING),
            customdata=[[[-1 if at is None else at] for at in row] for row in rows],
            hovertext=hover,
            hoverinfo="text",
            hoverongaps=False,
            xgap=1 if printed else 0.5,
            ygap=1 if printed else 0.5,
            colorbar={"thickness": 12, "outlinewidth": 0, "tickformat": ".0%", "len": 0.9},
        )
    )
    ringed = [one for one in cells if one.chosen]
    figure.add_trace(
        go.Scatter(
            x=[columns.index(one.column) for one in ringed],
            y=[one.block for one in ringed],
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 9, "color": INK, "line": {"width": 2}},
        )
    )
    step = max(1, -(-len(heads) // TICKS))
    ticks = [at for at in range(len(heads)) if at % step == 0] + [len(heads)]
    names = [columns[at] for at in ticks]
    across = {**BARE_AXIS, "tickvals": ticks, "ticktext": names, "title": axis_title("head")}
    across["range"] = [-0.5, len(columns) - 0.5]
    rows_step = max(1, -(-len(blocks) // TICKS))
    upward = {**BARE_AXIS, "tickvals": blocks[::rows_step], "title": axis_title("block")}
    upward["range"] = [blocks[0] - 0.5, blocks[-1] + 0.5]
    figure.update_layout(xaxis=across, yaxis=upward, showlegend=False)
    return figure


def _hover(cell: Cell) -> str:
    what = f"head {cell.column}" if cell.column.isdigit() else cell.column
    how = "patched exactly" if cell.exact else "estimated"
    ring = ", in the smallest set" if cell.chosen else ""
    return f"block {cell.block}, {what}: {cell.effect:.1%} ({how}){ring}".replace("-", "−")
