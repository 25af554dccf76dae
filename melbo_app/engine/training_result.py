"""The result of a training."""

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from melbo_app.engine.training_config import TrainingProgress


@dataclass(frozen=True)
class TrainingResult:
    """V vectors, fewer than requested if the training was stopped."""

    vectors: Tensor
    """[V, d] float32 on the CPU; every row has norm R."""
    objective: list[float] | None
    """J of each vector at the end; after a stop, J before the last step, or None where it is unknown (jacobian)."""
    curves: list[list[float]]
    """J of each vector before each step; for jacobian, σ R after each pass."""
    steps: int
    stopped: bool
    seconds: float
    strength: list[float] | None = None
    """The method's ranking of its vectors: α (transcoding), singular values (jacobian), …; see docs/methods.md."""
    output_directions: Tensor | None = None
    """[V, d] float32 on the CPU: unit directions in which the vectors move the target layer (transcoding)."""
    residual: float | None = None
    """``SingularVectors.residual`` (jacobian)."""
    note: str | None = None
    """A note for people."""


Training = Generator[TrainingProgress, None, TrainingResult]
