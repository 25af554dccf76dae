"""A grid of clickable cards, one per vector of a bank."""

from melbo_app.ui.components.live import Live

from gradio.events import Dependency

class VectorCards(Live):
    """Value: {vectors: [{index, name, rating, objective}], selected: [index]}. Event: pick."""

    script = "vector_cards"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
