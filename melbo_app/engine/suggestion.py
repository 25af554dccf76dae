"""Settings to start a training with: layers, scope, R and the number of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

from melbo_app.engine.prompt import Prompt

RELATIVE_RADIUS = 0.07
"""R as a multiple of the median residual norm where nothing is searched: SmolLM2's texts are readable and differ."""


@dataclass(frozen=True)
class TrainingSuggestion:
    """Settings that give a sensible result with the loaded model; R is 0.07 of the median norm."""

    source: int
    target: int
    scope: str
    radius: float
    relative_radius: float
    median_norm: float


def layers(blocks: int, source: int | None = None, target: int | None = None) -> tuple[int, int]:
    """Source and target layer to begin with: 7 and 21 of 30 blocks, the same shares of other models.

    A layer that is given stays as it is, and the other one is chosen to suit it.
    """
    share = round(blocks * 7 / 30)
    if source is None:
        source = min(share, blocks - 2 if target is None else max(0, target - 1))
    if target is None:
        target = max(source + 1, min(max(3 * share, source + share), blocks - 1))
    return source, target


def layer_pairs(blocks: int, source: int, target: int, others: bool) -> list[tuple[int, int]]:
    """The layers that a search looks at: these, and with ``others`` those 1/12 and 2/3 of the way up, where a 0.5B Qwen
    answers more of what it refuses."""
    usual, early = (source, target), (round(blocks / 12), round(2 * blocks / 3))
    return [usual, early] if others and early != usual and early[0] < early[1] < blocks else [usual]


def default_scope(prompts: Sequence[Prompt]) -> str:
    """The template's last tokens, or the last four where a prompt goes in without the template."""
    return "assistant" if all(prompt.template for prompt in prompts) else "last:4"


def default_vectors(method: str, against: int) -> int:
    """8, or as many as the method can find with ``against`` prompts of the other side."""
    return min(8, {"difference-of-means": 1, "contrast-pca": max(1, against)}.get(method, 8))
