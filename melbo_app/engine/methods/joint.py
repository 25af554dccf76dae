"""The joint method: all vectors at once, orthogonal after every step."""

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.climb import climb
from melbo_app.engine.orthogonal import polar
from melbo_app.engine.training_result import Training


def joint(ascent: Ascent) -> Training:
    """Steps along the normalised gradient, then the nearest orthogonal set of norm R."""
    return climb(ascent, lambda rows: polar(rows, ascent.config.radius))
