"""The settings and the progress of a training."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.errors import InputError
from melbo_app.limits import LARGEST, MOST_STEPS, check_prompts, check_range

Method = Literal[
    "joint", "sequential", "soft-theta", "soft-delta", "transcoding", "jacobian", "difference-of-means", "contrast-pca",
    "random",
]  # fmt: skip
AgreementForm = Literal["numerator", "contrastive"]
Start = Literal["random", "jacobian"]
LEAST_RADIUS, MOST_RADIUS = 1e-6, 1e6
MOST_VECTORS = 4096
LEAST_TEMPERATURE = 0.01
SATURATION = 0.6
"""Share of a token's norm at which its change counts most. With 0.3, larger models say hardly anything new; without a
limit, texts break (docs/search.md)."""


@dataclass(frozen=True)
class MethodDescription:
    """A method's description for people, and its requirements."""

    summary: str
    source: str
    steps: int = 1
    """Default steps; 1 for a single-step method."""
    iterates: bool = True
    """Whether it improves vectors step by step, from a start that can be chosen."""
    contrast: bool = False
    """Whether it compares the prompts with those of the other side."""


METHOD_DESCRIPTIONS: dict[Method, MethodDescription] = {
    "joint": MethodDescription(
        "Changes the target layer as much as possible, with all vectors trained at once and orthogonal to each other.",
        "MELBO Explorer, after Mack & Turner 2024, Mechanistically Eliciting Latent Behaviors in Language Models, with "
        "the symmetric orthogonalisation of Löwdin 1950",
        steps=60,
    ),
    "sequential": MethodDescription(
        "The published method: one vector after the other, each orthogonal to those before it.",
        "Mack & Turner 2024, Mechanistically Eliciting Latent Behaviors in Language Models",
        steps=300,
    ),
    "soft-theta": MethodDescription(
        "All vectors at once, with a penalty on the cosines of θ instead of exact orthogonality.",
        "Proposed, but not tried, by A. Mack in the comments on Mack & Turner 2024",
        steps=60,
    ),
    "soft-delta": MethodDescription(
        "All vectors at once, with a penalty on the cosines of Δ, which pushes similar effects apart.",
        "Proposed, but not tried, by A. Mack in the comments on Mack & Turner 2024",
        steps=60,
    ),
    "transcoding": MethodDescription(
        "Fits a shallow map of exponentials to the effect of steering, which finds directions at the target layer too.",
        "Mack 2024, Deep Causal Transcoding: A Framework for Mechanistically Eliciting Latent Behaviors",
        steps=20,
    ),
    "jacobian": MethodDescription(
        "The directions in which an infinitesimal step changes the target layer most, each with both signs.",
        "Ayyub 2026, Power Steering: Behavior Steering via Layer-to-Layer Jacobian Singular Vectors",
        steps=60,
        iterates=False,
    ),
    "difference-of-means": MethodDescription(
        "One vector: the mean residual of the prompts minus that of the other side's.",
        "Marks & Tegmark 2023, The Geometry of Truth; Arditi et al. 2024, Refusal Is Mediated by a Single Direction",
        iterates=False,
        contrast=True,
    ),
    "contrast-pca": MethodDescription(
        "The principal directions in which pairs of prompts, one of each side, differ.",
        "Zou et al. 2023, Representation Engineering",
        iterates=False,
        contrast=True,
    ),
    "random": MethodDescription(
        "Random orthogonal directions: the control that every other method has to beat.",
        "MELBO Explorer",
        iterates=False,
    ),
}
DEFAULT_STEPS: dict[str, int] = {method: described.steps for method, described in METHOD_DESCRIPTIONS.items()}
CLIMBING: tuple[Method, ...] = ("joint", "soft-theta", "soft-delta")
"""Methods that train all vectors at once until they converge; their steps are the maximum."""
COUNTED_BY: dict[str, tuple[Method, ...]] = {
    "start": tuple(method for method, described in METHOD_DESCRIPTIONS.items() if described.iterates),
    "saturation": ("joint", "sequential", "soft-theta", "soft-delta"),
    "agreement": ("joint", "sequential", "soft-theta", "soft-delta"),
    "orthogonality": ("soft-theta", "soft-delta"),
    "seed": tuple(method for method, described in METHOD_DESCRIPTIONS.items() if not described.contrast),
}
"""Options that only some methods use, with these methods."""


@dataclass(frozen=True)
class TrainingConfig:
    """What to train. ``steps`` and ``q`` default to the method's steps and p.

    ``start`` is the start of iterative methods: random, or the Jacobian's singular vectors. ``against`` has the prompts
    of the other side, for contrastive methods. ``orthogonality`` is the weight λ of the soft methods' penalty on
    cosines. ``agreement`` is the weight λ of the term for the same effect on all prompts, ``temperature`` its τ, and
    ``agreement_form`` says whether other vectors count against it (engine/agreement.py). ``held_out`` prompts are not
    trained on, only measured. ``saturation`` is the share of a token's norm at which its change counts most, and beyond
    which it counts less; 0 for no saturation, None for the method's default. An option that the method does not use is
    refused unless it has its default; p and q are not, because J is reported for every method.
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
    start: Start = "random"
    against: tuple[Prompt, ...] = ()
    orthogonality: float = 1.0
    agreement: float = 0.0
    agreement_form: AgreementForm = "numerator"
    temperature: float = 0.5
    held_out: tuple[Prompt, ...] = ()
    saturation: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHOD_DESCRIPTIONS:
            raise InputError("method", f"{self.method!r} is not known", f"Choose {_either(METHOD_DESCRIPTIONS)}")
        if self.target <= self.source:
            problem = f"{self.target} is not above the source layer {self.source}"
            raise InputError("target layer", problem, f"Choose {self.source + 1} or more")
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise InputError("R", f"must be a finite number greater than 0, not {self.radius}")
        if not LEAST_RADIUS <= self.radius <= MOST_RADIUS:  # beyond, squares leave the range of float32
            raise InputError("R", f"{self.radius:g} cannot be used", f"Choose {LEAST_RADIUS:g} to {MOST_RADIUS:g}")
        check_range("vectors", self.vectors, 1, MOST_VECTORS)
        if self.steps is not None:
            check_range("steps", self.steps, 1, MOST_STEPS)
        check_prompts(self.against, "against")
        check_prompts(self.held_out, "held-out prompts")
        self._check_method()
        for name, value in (("p", self.p), ("q", self.q)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(name, f"{value} cannot be used", "Choose a number greater than 0; 2 usually works")
        for name, value in (
            ("orthogonality", self.orthogonality),
            ("agreement", self.agreement),
            ("saturation", self.saturation_share),
        ):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(name, f"{value} cannot be used", "Choose 0 or more; 1 or less usually works")
        if not (math.isfinite(self.temperature) and self.temperature >= LEAST_TEMPERATURE):
            remedy = f"Choose {LEAST_TEMPERATURE} or more; 0.5 usually works"
            raise InputError("temperature", f"{self.temperature} cannot be used", remedy)
        if self.agreement_form not in get_args(AgreementForm):
            problem = f"{self.agreement_form!r} is not known"
            raise InputError("agreement form", problem, "Choose numerator or contrastive")
        check_range("seed", self.seed, 0, LARGEST)
        self._check_unused()
        coupled = bool(self.agreement) and self.agreement_form == "contrastive"
        if coupled and (self.method == "sequential" or self.vectors < 2):
            problem = "the contrastive one compares vectors that are trained at once"
            remedy = "Choose numerator, or the method joint and 2 vectors or more"
            raise InputError("agreement form", problem, remedy)
        TokenScope.parse(self.scope)

    def _check_method(self) -> None:
        """Refuse options that the method does not support, and missing ones."""
        described = METHOD_DESCRIPTIONS[self.method]
        if described.steps == 1 and self.steps not in (None, 1):
            raise InputError("steps", f"{self.method} takes a single step, not {self.steps}", "Leave it out")
        if self.method == "difference-of-means" and self.vectors != 1:
            raise InputError("vectors", f"{self.method} finds one, not {self.vectors}", "Choose 1")
        if self.start not in get_args(Start):
            raise InputError("start", f"{self.start!r} is not known", f"Choose {_either(get_args(Start))}")
        if self.start != "random" and not self.counts("start"):
            remedy = f"Leave it out, or choose {_either(COUNTED_BY['start'])}"
            raise InputError("start", f"{self.method} does not use it", remedy)
        if described.contrast and not self.against:
            raise InputError("against", f"{self.method} needs prompts of the other side", "Write one or more")
        if self.method == "contrast-pca" and self.vectors > len(self.against):
            pairs = f"{len(self.against)} pair{'s' * (len(self.against) != 1)}"
            raise InputError("vectors", f"{pairs} cannot give {self.vectors}", "Choose fewer, or add more pairs")
        for number, prompt in enumerate(self.against, start=1):
            if not prompt.user.strip():
                raise InputError("against", f"prompt {number} is empty", "Write a text, or leave it out")
        if self.against and not described.contrast:
            able = [name for name, other in METHOD_DESCRIPTIONS.items() if other.contrast]
            remedy = f"Leave it out, or choose {_either(able)}"
            raise InputError("against", f"{self.method} does not use it", remedy)

    def _check_unused(self) -> None:
        """Refuse options that would have no effect."""
        for option, chosen in (
            ("saturation", bool(self.saturation)),
            ("agreement", bool(self.agreement)),
            ("orthogonality", self.orthogonality != TrainingConfig.orthogonality),
            ("seed", self.seed != TrainingConfig.seed),
        ):
            if chosen and not self.counts(option):
                remedy = f"Leave it out, or choose {_either(COUNTED_BY[option])}"
                raise InputError(option, f"{self.method} does not use it", remedy)
        for option, chosen in (
            ("temperature", self.temperature != TrainingConfig.temperature),
            ("agreement form", self.agreement_form != TrainingConfig.agreement_form),
        ):
            if chosen and not self.agreement:
                remedy = "Leave it out, or set agreement above 0"
                raise InputError(option, "it has no effect without agreement", remedy)

    def check_width(self, width: int) -> None:
        """Raises InputError for more vectors than ``width`` dimensions have orthogonal directions."""
        most = 2 * width if self.method == "jacobian" else width  # its directions have both signs
        if self.vectors > most and not self.method.startswith("soft"):
            problem = f"{self.vectors} cannot be orthogonal in {width} dimensions"
            raise InputError("vectors", problem, f"Choose {most} or fewer")

    def counts(self, option: str) -> bool:
        """Whether the method uses an option of ``COUNTED_BY``."""
        return self.method in COUNTED_BY[option]

    @property
    def saturation_share(self) -> float:
        """The share of a token's norm at which its change counts most; 0 for no saturation."""
        if self.saturation is None:
            return SATURATION if self.method in CLIMBING else 0.0
        return self.saturation

    @property
    def total_steps(self) -> int:
        """Steps per vector (sequential), or the maximum for all vectors at once (the other methods)."""
        return DEFAULT_STEPS[self.method] if self.steps is None else self.steps


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a training. ``curves`` are the live lists, which grow: copy them to keep them."""

    stage: str
    done: int
    total: int
    seconds_left: float | None
    curves: list[list[float]] = field(default_factory=list)
    finished: int = 0
    note: str = ""
    """A line for the job's log."""


def _either(names: Iterable[str]) -> str:
    """Names as a choice: a, b or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
