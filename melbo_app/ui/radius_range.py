"""The fields for a range of R, as multiples of the median norm."""

from gradio.components import Component

from melbo_app.studies.curve import LEAST, MOST, POINTS, radii_between
from melbo_app.ui.fields import number, whole_number
from melbo_app.ui.forms import real, whole
from melbo_app.ui.guard import Values


class RadiusRange:
    """From where to where, and how many."""

    def __init__(self) -> None:
        self.least = number("R × median norm, from", "curve-least", LEAST, 150, step=0.01)
        self.most = number("to", "curve-most", MOST, step=0.01)
        self.points = whole_number("Number of R", "curve-points", POINTS, 80)
        self.inputs: list[Component] = [self.least, self.most, self.points]

    def radii(self, values: Values) -> tuple[float, ...]:
        """The multiples, smallest first. Raises InputError."""
        least, most = real("R", values[self.least]), real("R", values[self.most])
        return radii_between(least, most, whole("number of R", values[self.points]))
