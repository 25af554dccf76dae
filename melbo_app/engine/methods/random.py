"""The control: random directions."""

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.orthogonal import polar, random_rows
from melbo_app.engine.training_result import Training


def random(ascent: Ascent) -> Training:
    """Uniformly random orthogonal directions."""
    radius = ascent.config.radius
    rows = random_rows(ascent.config.vectors, ascent.width, radius, ascent.generator)
    return (yield from ascent.measured(polar(rows, radius)))
