"""A grid of clickable cards, one per vector of a bank."""

from melbo_app.ui.components.live import Live


class VectorCards(Live):
    """Value: {vectors: [{index, name, rating, objective}], selected: [index]}. Event: pick."""

    script = "vector_cards"
