"""A plotly figure whose points can be clicked; gr.Plot has no such event."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melbo_app.ui.components.live import Live

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Served by app.py; relative in the page, so that it works below a prefix as well.
PLOTLY_ROUTE = "/explorer/plotly.min.js"

from gradio.events import Dependency

class PlotlyView(Live):
    """Value: {figure: {data, layout}, message}. Event: point, with the customdata of the clicked point."""

    script = "plotly_view"

    def __init__(self, value: dict[str, Any] | None = None, *, elem_id: str, **kwargs: Any) -> None:
        head = f'<script src="{PLOTLY_ROUTE.lstrip("/")}"></script>'
        super().__init__(value, elem_id=elem_id, head=head, **kwargs)
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def figure_value(figure: "go.Figure") -> dict[str, Any]:
    """The figure as the component's value; plotly's own encoder knows numpy."""
    return {"figure": json.loads(figure.to_json())}

def plotly_script() -> Path:
    """plotly.min.js inside the installed plotly package, found without importing it: that takes a second."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None, "plotly is a requirement"
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"
