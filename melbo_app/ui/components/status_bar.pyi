"""The header: product name, model chip, training chip."""

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class StatusBar(Live):
    """Value: {model, model_state, model_title, job, job_state, job_fraction}."""

    script = "status_bar"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
