"""What to train, and where a training stands."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.errors import InputError

Method = Literal["joint", "sequential", "soft-theta", "soft-delta"]
AgreementForm = Literal["numerator", "contrastive"]
LEAST_RADIUS, MOST_RADIUS = 1e-6, 1e6
MOST_VECTORS = 4096
LEAST_TEMPERATURE = 0.01
SATURATION = 0.3
"""Share of a token's norm beyond which its change no longer counts: more of it makes salad of the text."""
CLIMBING: tuple[Method, ...] = ("joint", "soft-theta", "soft-delta")
"""Methods that train all vectors at once, and end when they have arrived: their steps are the most steps."""
DEFAULT_STEPS: dict[str, int] = {"joint": 60, "sequential": 300, "soft-theta": 60, "soft-delta": 60}


@dataclass(frozen=True)
class TrainingConfig:
    """What to train. ``steps`` and ``q`` left out take the method's default and p.

    ``orthogonality`` is the weight λ of the soft methods' penalty on cosines. ``agreement`` is the weight λ of what
    makes a vector do the same in all prompts, ``temperature`` its τ, and ``agreement_form`` says whether other vectors
    count against it (engine/agreement.py). ``held_out`` prompts are not trained on: what vectors do there is measured.
    ``saturation`` is the share of a token's norm up to which its change counts; 0: without limit; None: what suits the
    method.
    """

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
    orthogonality: float = 1.0
    agreement: float = 0.0
    agreement_form: AgreementForm = "numerator"
    temperature: float = 0.5
    held_out: tuple[Prompt, ...] = ()
    saturation: float | None = None

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
        for name, value in (
            ("orthogonality", self.orthogonality),
            ("agreement", self.agreement),
            ("saturation", self.saturation_share),
        ):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(name, f"{value} cannot be used", "Choose 0 or a number above, 1 at most as a rule")
        if not (math.isfinite(self.temperature) and self.temperature >= LEAST_TEMPERATURE):
            raise InputError(
                "temperature",
                f"{self.temperature} cannot be used",
                f"Choose {LEAST_TEMPERATURE} or more, 0.5 as a rule",
            )
        if self.agreement_form not in get_args(AgreementForm):
            problem = f"{self.agreement_form!r} is not known"
            raise InputError("agreement form", problem, "Choose numerator or contrastive")
        if self.agreement:
            self._check_agreement()
        if not 0 <= self.seed < 2**63:
            raise InputError("seed", f"{self.seed} is out of range", "Choose a whole number from 0 on")
        TokenScope.parse(self.scope)

    def _check_agreement(self) -> None:
        if self.method not in CLIMBING and self.method != "sequential":
            choice = " or ".join([*CLIMBING, "sequential"])
            raise InputError("agreement", f"{self.method} does not look at it", f"Choose 0, or the method {choice}")
        if self.agreement_form == "contrastive" and (self.method == "sequential" or self.vectors < 2):
            raise InputError(
                "agreement form",
                "the contrastive one compares vectors that are trained at once",
                "Choose numerator, or the method joint and 2 vectors or more",
            )

    @property
    def saturation_share(self) -> float:
        """The share of a token's norm up to which its change counts; 0: without limit."""
        if self.saturation is None:
            return SATURATION if self.method in CLIMBING else 0.0
        return self.saturation

    @property
    def total_steps(self) -> int:
        """Steps for each vector (sequential), or the most for all at once (the others, which end sooner)."""
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
