"""A signed slider for R, logarithmic on both sides of zero."""

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class RadiusSlider(Live):
    """Value: {radius, trained, median}. Event: release, only when the pointer lets go or the keys rest."""

    script = "radius_slider"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
