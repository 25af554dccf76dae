"""The exact tokens that go into the model."""

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class TokenStrip(Live):
    """Value: {prompts: [{pieces, counts}], message}."""

    script = "token_strip"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
