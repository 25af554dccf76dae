"""What a training found."""

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from melbo_app.engine.training_config import TrainingProgress


@dataclass(frozen=True)
class TrainingResult:
    """What was found: V vectors, fewer than asked for where the training was stopped."""

    vectors: Tensor
    """[V, d] float32 on the CPU; every row has norm R."""
    objective: list[float] | None
    """J of each vector at the end; where the training was stopped, before its last step, or None where that is not
    known (jacobian)."""
    curves: list[list[float]]
    """J of each vector before each step; of jacobian, σ R after each pass."""
    steps: int
    stopped: bool
    seconds: float
    strength: list[float] | None = None
    """What the method ranks its vectors by: α of transcoding, a singular value of jacobian, …; docs/methods.md."""
    output_directions: Tensor | None = None
    """[V, d] float32 on the CPU: unit directions that the vectors move the target layer along (transcoding)."""
    residual: float | None = None
    """How far the vectors of jacobian are from being singular vectors (``SingularVectors.residual``)."""
    note: str | None = None
    """What a person should know of it."""


Training = Generator[TrainingProgress, None, TrainingResult]
