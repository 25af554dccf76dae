"""Explorations: what came of one press of Explore, a JSON file each."""

from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from melbo_app.library.bank import PromptRecord
from melbo_app.library.json_files import JsonFiles, Measured, key_of

UNSTEERED = "as without steering"
"""The name of the answers that did not change."""

RadiusRule = Literal["calibration", "curve", "suggested"]
RADIUS_RULES: tuple[RadiusRule, ...] = ("calibration", "curve", "suggested")


class ExploreSettings(BaseModel):
    """What can be chosen at every stage; None: what suits the model and the prompt.

    ``radius`` is absolute, ``relative_radius`` a multiple of the median norm; where either is given, ``rule`` does not
    count. ``threshold`` is the cosine distance up to which two answers count as the same.
    """

    model_config = ConfigDict(frozen=True)

    rule: RadiusRule = "calibration"
    radius: float | None = None
    relative_radius: float | None = None
    vectors: int = Field(default=8)
    method: str = "joint"
    steps: int | None = None
    seed: int = 0
    source: int | None = None
    target: int | None = None
    scope: str | None = None
    max_new_tokens: int = 40
    threshold: float | None = None


class ChosenRadius(BaseModel):
    """R in both units, and in a sentence where it comes from."""

    model_config = ConfigDict(frozen=True)

    radius: FiniteFloat
    relative_radius: FiniteFloat
    median_norm: FiniteFloat
    how: Literal["given", "calibration", "curve", "suggested"]
    reason: str

    @property
    def sentence(self) -> str:
        """R in both units, and where it comes from."""
        return f"R = {self.radius:.3g} ({self.relative_radius:.2g} × median): {self.reason}"


class Answer(BaseModel):
    """What one vector says.

    ``completion`` is the id of the text, ``distance`` its cosine distance from the unsteered one. A readable answer has
    ``changed`` where it ``differs`` in kind from the unsteered one (``analysis/traits.py``), or is farther from it
    than two answers of the same meaning are.
    """

    model_config = ConfigDict(frozen=True)

    vector: int
    completion: int
    text: str
    verdict: str | None
    distance: FiniteFloat
    changed: bool
    runaway: bool = False
    differs: tuple[str, ...] = ()
    """Kinds of difference from the unsteered answer; none in files of older versions."""


class Behaviour(BaseModel):
    """Answers that say the same. ``representative`` is the vector whose answer is nearest to their centre, ``words``
    are those that set them apart from all other answers."""

    model_config = ConfigDict(frozen=True)

    name: str
    """What the answers do, in the third person (``analysis/naming.py``)."""
    words: tuple[str, ...]
    vectors: tuple[int, ...]
    representative: int
    distance: FiniteFloat
    """Mean cosine distance of the answers from the unsteered one."""
    control: int
    """How many random vectors of the same R show it."""
    as_often: bool = False
    """Whether random vectors show it as often as the vectors do."""
    unsteered: bool
    """Whether these are the answers that stay as they are without steering."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Files of older versions hold no name: it was made of the words."""
        if not isinstance(values, dict) or values.get("name"):
            return values
        words = ", ".join(values.get("words", ())) or "no words of its own"
        return {**values, "name": UNSTEERED if values.get("unsteered") else words}

    @property
    def new(self) -> bool:
        """Whether steering made it: neither the unsteered answer nor as many random vectors show it."""
        return not self.unsteered and not self.as_often


class SetAside(BaseModel):
    """A vector that is not looked at, and why."""

    model_config = ConfigDict(frozen=True)

    vector: int
    reason: str


class Exploration(Measured):
    """What came of one press of Explore; ``comparison`` and ``control_comparison`` hold the texts."""

    model: str
    dtype: str
    prompt: PromptRecord
    settings: ExploreSettings
    source: int
    target: int
    scope: str
    radius: ChosenRadius
    bank: str
    bank_hash: str
    comparison: int
    control_comparison: int
    baseline: str
    answers: tuple[Answer, ...]
    control: tuple[Answer, ...]
    """Of as many random vectors of the same R."""
    behaviours: tuple[Behaviour, ...]
    """Those that are farthest from the unsteered answer, over all their vectors, first; the unsteered one last."""
    aside: tuple[SetAside, ...]
    threshold: FiniteFloat
    """Cosine distance up to which two answers counted as the same."""
    readable_diversity: FiniteFloat
    control_readable_diversity: FiniteFloat
    seconds: dict[str, float]
    """Of each stage."""
    created: AwareDatetime

    @property
    def key(self) -> str:
        """Tells one exploration from another: the same key, the same result."""
        return key_of([self.model_hash, self.dtype, self.prompt.model_dump(), self.settings.model_dump()])

    @property
    def moment(self) -> datetime:
        return self.created

    def answer(self, vector: int) -> Answer:
        """What a vector says."""
        return next(one for one in self.answers if one.vector == vector)

    @property
    def readable(self) -> float:
        """Share of the answers with the verdict readable."""
        return sum(one.verdict == "readable" for one in self.answers) / len(self.answers)

    @property
    def new(self) -> int:
        """How many behaviours there are that neither the unsteered answer nor as many random vectors show."""
        return sum(one.new for one in self.behaviours)

    def behaviour_of(self, vector: int) -> Behaviour | None:
        """The behaviour that an answer is part of; None for one that was set aside."""
        return next((one for one in self.behaviours if vector in one.vectors), None)

    @property
    def sentence(self) -> str:
        """The result in a few words: “8 vectors, R = 0.2 × the median norm, 5 behaviours: …”."""
        new = [one for one in self.behaviours if one.new]
        often = [one for one in self.behaviours if one.as_often and not one.unsteered]
        parts = [f"{len(self.answers)} vectors, R = {self.radius.relative_radius:.2g} × the median norm, "]
        if new:
            names = "; ".join(f"{one.name} ({len(one.vectors)})" for one in new)
            parts.append(f"{len(new)} behaviour{'s' * (len(new) != 1)}: {names}. ")
        else:
            parts.append("0 behaviours. No behaviour that random vectors of the same R do not show; ")
            parts.append("the farthest answers are below. ")
        if often:
            names = "; ".join(f"{one.name} ({len(one.vectors)}, random {one.control})" for one in often)
            parts.append(f"Random vectors show this as often: {names}. ")
        changed, control = (sum(one.changed for one in answers) for answers in (self.answers, self.control))
        parts.append(
            f"{changed} of {len(self.answers)} answers changed, {control} of {len(self.control)} under random vectors; "
            f"{len(self.aside)} set aside."
        )
        return "".join(parts)


class Explorations(JsonFiles[Exploration]):
    """The explorations that were made."""

    kind = Exploration
