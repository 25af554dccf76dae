"""Plotly's configuration on the page and in exported files."""

import plotly.graph_objects as go

CONFIG = {
    "responsive": True,
    "displaylogo": False,  # a link to plotly.com
    "showSendToCloud": False,  # "Share chart…", shown by default, posts the whole figure to cloud.plotly.com
    "plotlyServerURL": "",  # its address: empty, so that even a visible button would send nothing
}
"""Switches off every key of plotly.js 4's configuration that lets a figure contact another server. (Geographic maps,
which the page does not have, would fetch their coastlines from cdn.plot.ly.)"""


def html_page(figure: go.Figure) -> str:
    """The figure as an HTML page that uses no network."""
    return figure.to_html(config={**CONFIG}, include_plotlyjs=True)


def html_part(figure: go.Figure, height: int) -> str:
    """The figure as part of a page that has plotly.js, ``height`` pixels high."""
    return figure.to_html(config={**CONFIG}, include_plotlyjs=False, full_html=False, default_height=f"{height}px")
