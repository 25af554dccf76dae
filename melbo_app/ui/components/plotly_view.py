"""A plotly figure whose points can be clicked; gr.Plot has no such event."""

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from melbo_app.ui.components.live import live

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_ROUTE = "/explorer/plotly.min.js"  # where assets/js/dom.js fetches it


def plotly_view(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {figure: {data, layout, config}, message}. Event: point, with the customdata of the clicked point.

    With ``vectors``, the rows of a heat map in their order, and ``bank``, a click gives and selects two vectors, and
    the vectors selected elsewhere are marked.
    """
    return live("plotly_view", value, elem_id=elem_id, events=("point",), start=start)


def figure_value(figure: "go.Figure") -> dict[str, Any]:
    """The figure as the component's value; plotly's own encoder handles numpy."""
    from melbo_app.analysis.plot_config import CONFIG  # imported late: plotly takes a second

    return {"figure": {**json.loads(figure.to_json()), "config": {**CONFIG}}}


@functools.cache
def plotly_script() -> bytes:
    """plotly.min.js of the installed plotly package, found without importing it, which takes a second.

    A lasso looks for its points every 20 ms instead of every 100: they are drawn by ourselves, and nobody should wait
    for the last look.
    """
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None, "plotly is a requirement"
    script = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return script.read_bytes().replace(b"SELECTDELAY:100", b"SELECTDELAY:20")
