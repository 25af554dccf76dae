"""One line of progress under a button."""

from typing import Any

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class ProgressBar(Live):
    """Value: {state, fraction, text}; see the functions below."""

    script = "progress_bar"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def working(text: str, fraction: float | None = None) -> dict[str, Any]:
    """Work under way; without a fraction the bar only moves."""
    return {"state": "working", "fraction": fraction, "text": text}

def resting(text: str = "") -> dict[str, Any]:
    """Nothing under way; the text says how the last work ended."""
    return {"state": "idle", "fraction": 0, "text": text}
