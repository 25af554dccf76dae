"""What all plotly figures have in common: colours, symbols and text, legible on light and dark pages."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

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

NAME = 24  # characters of a name that fit in a legend
PRINTED = 16  # most rows or columns of a heat map whose cells show their values


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
        layout["title"] = {"text": safe(title), "x": 0, "xanchor": "left", "pad": {"l": 16}, "font": {"size": 15}}
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


def style(number: int) -> dict[str, str]:
    """Colour and symbol number ``number``: both change with each, so colour never says anything alone; 64 differ."""
    row = number // len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[(number + row) % len(SYMBOLS)]}


def safe(text: str) -> str:
    """Text escaped for plotly, which would interpret <b>, <a href> and entities."""
    return html.escape(text, quote=False)


def short(name: str, most: int = NAME) -> str:
    return safe(name if len(name) <= most else name[: most - 1].rstrip(" ·") + "…")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:z.2f}".replace("-", "−")
