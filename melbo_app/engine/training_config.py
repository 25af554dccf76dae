"""What to train, and where a training stands."""

import math
from dataclasses import dataclass, field
from typing import Literal

from melbo_app.engine.scope import TokenScope
from melbo_app.errors import InputError

Method = Literal["joint", "sequential"]
LEAST_RADIUS, MOST_RADIUS = 1e-6, 1e6
MOST_VECTORS = 4096
DEFAULT_STEPS: dict[str, int] = {"joint": 16, "sequential": 300}


@dataclass(frozen=True)
class TrainingConfig:
    """What to train. ``steps`` and ``q`` left out take the method's default and p."""

    source: int
    target: int
    radius: float
    vectors: int = 8
    method: Method = "joint"
    steps: int | None = None
    p: float = 2.0
    q: float | None = None
    scope: str = "assistant"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in DEFAULT_STEPS:
            raise InputError("method", f"{self.method!r} is not known", f"Choose {' or '.join(DEFAULT_STEPS)}")
        if self.target <= self.source:
            raise InputError(
                "target layer",
                f"{self.target} is not above the source layer {self.source}",
                f"Choose {self.source + 1} or more",
            )
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise InputError("R", f"{self.radius} is no length", "Choose a number above 0")
        if not LEAST_RADIUS <= self.radius <= MOST_RADIUS:  # beyond, squares leave the range of float32
            raise InputError("R", f"{self.radius:g} cannot be used", f"Choose {LEAST_RADIUS:g} to {MOST_RADIUS:g}")
        if self.vectors < 1:
            raise InputError("vectors", f"{self.vectors} is too few", "Choose 1 or more")
        if self.vectors > MOST_VECTORS:
            raise InputError("vectors", f"{self.vectors} are too many", f"A bank holds up to {MOST_VECTORS}")
        if self.steps is not None and self.steps < 1:
            raise InputError("steps", f"{self.steps} is too few", "Choose 1 or more")
        for name, value in (("p", self.p), ("q", self.q)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(name, f"{value} cannot be used", "Choose a number above 0, 2 as a rule")
        if not 0 <= self.seed < 2**63:
            raise InputError("seed", f"{self.seed} is out of range", "Choose a whole number from 0 on")
        TokenScope.parse(self.scope)

    @property
    def total_steps(self) -> int:
        """Steps for each vector (sequential) or for all at once (joint)."""
        return DEFAULT_STEPS[self.method] if self.steps is None else self.steps


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands. ``curves`` are the growing lists themselves: read them, do not keep them."""

    stage: str
    done: int
    total: int
    seconds_left: float | None
    curves: list[list[float]] = field(default_factory=list)
    finished: int = 0
