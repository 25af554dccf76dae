"""The map of completions: it recolours and selects in the browser."""

from typing import Any

import gradio as gr

from melbo_app.studies.map import Map
from melbo_app.ui.components.live import live
from melbo_app.ui.components.plotly_view import figure_value


def map_view(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: see ``map_value``. Events: point, with the customdata of the clicked point; picked, with ``points``."""
    return live("map_view", value, elem_id=elem_id, events=("point", "picked"), start=start)


def map_value(found: Map, colour: str) -> dict[str, Any]:
    """The component's value: all points without colours, and what each way of colouring adds."""
    from melbo_app.analysis.map_figure import map_paints, map_trace  # late: plotly takes a second to import

    return {
        **figure_value(map_trace(found.points)),
        "paints": map_paints(found.points, found.clusters),
        "colour": colour,
        "points": [[point.vector, point.radius, point.prompt_index] for point in found.points],
        "prompts": found.prompts,
        "bank": found.bank,
    }
