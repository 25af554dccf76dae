"""What plotly's toolbar may do, on the page and in exported files alike."""

import plotly.graph_objects as go

CONFIG = {
    "responsive": True,
    "displaylogo": False,  # a link to plotly.com
    "showSendToCloud": False,  # "Share chart…", shown by default, posts the whole figure to cloud.plotly.com
    "plotlyServerURL": "",  # where that would go; empty, a button that is shown all the same sends nothing
}
"""Of plotly.js 4's configuration, the keys by which a figure leads out of the page, each switched off. (A map of the
Earth, which there is none of, would fetch its coasts from cdn.plot.ly.)"""


def html_page(figure: go.Figure) -> str:
    """The figure as an HTML page that needs no network and sends nothing anywhere."""
    return figure.to_html(config={**CONFIG}, include_plotlyjs=True)
