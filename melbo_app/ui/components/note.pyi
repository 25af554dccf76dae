"""Lines of plain text that may come from a model or a file."""

from typing import Any

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class Note(Live):
    """Value: {lines, tone}; see ``note``."""

    script = "note"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def note(*lines: str, tone: str = "quiet") -> dict[str, Any]:
    """The component's value; tone is quiet, plain or warning."""
    return {"lines": [line for line in lines if line], "tone": tone}
