"""A label's test: how well a reader, given the label, told a vector's texts from those of random vectors."""

from melbo_app.library.bank import PromptRecord
from melbo_app.library.comparison_settings import Temperature
from melbo_app.library.facts import Count, Index, Moment, Radius, Share, Text
from melbo_app.library.frozen import Frozen

LEAST_AUROC = 0.7
"""A label that predicts worse does not hold."""


class TestedLabel(Frozen):
    """The ``name`` of a vector, and its test on texts under the vector at ``radius`` and as many under random vectors
    of that R. ``auroc`` has the 95 % interval from ``low`` to ``high``."""

    vector: Index
    name: Text
    auroc: Share
    low: Share
    high: Share
    radius: Radius
    prompt: PromptRecord
    temperature: Temperature
    max_new_tokens: Count
    first_seed: Count
    """Of as many seeds as there are texts of each kind."""
    created: Moment

    @property
    def holds(self) -> bool:
        """Whether it predicts well enough to be shown."""
        return self.auroc >= LEAST_AUROC

    @property
    def figures(self) -> str:
        """The AUROC with its interval."""
        return in_figures(self.auroc, self.low, self.high)


def in_figures(auroc: float, low: float, high: float) -> str:
    """An AUROC with its interval."""
    return f"{auroc:.2f} ({low:.2f} to {high:.2f})"
