"""Explorations: the result of one press of Explore, one JSON file each."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Count, Digest, Index, Layer, ModelName, Moment, Name, Norm, Number, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of
from melbo_app.library.searches import Tried

UNSTEERED = "as without steering"
"""The name of the unchanged answers."""

RadiusRule = Literal["search", "calibration", "curve", "suggested"]
RADIUS_RULES: tuple[RadiusRule, ...] = ("search", "calibration", "curve", "suggested")
SEARCH_SECONDS = 80.0
"""Default time after which a search tries no further setting."""


class ExploreSettings(Frozen):
    """The settings of all stages; None: chosen by the model and the prompt.

    ``radius`` is absolute, ``relative_radius`` a multiple of the median norm; if either is given, or an
    ``effect_budget``, ``rule`` does not search. ``search_seconds`` bounds the search. New behaviours are tried on
    ``elsewhere`` other prompts. Two answers within the cosine distance ``threshold`` count as the same.
    """

    rule: RadiusRule = "search"
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
    effect_budget: float | None = None
    search_seconds: float = SEARCH_SECONDS
    elsewhere: int = 5


class ChosenRadius(Frozen):
    """R in both units, and the reason for it in a sentence."""

    radius: Norm
    relative_radius: Norm
    median_norm: Norm
    how: Literal["given", "search", "calibration", "curve", "suggested"]
    reason: Text
    effect_budget: FiniteFloat | None = None
    """The effect budget that goes with it; None: the method's default."""

    @property
    def sentence(self) -> str:
        """R in both units, the effect budget and the reason."""
        budget = "" if self.effect_budget is None else f", effect budget {self.effect_budget:g}"
        return f"R = {self.radius:.3g} ({self.relative_radius:.2g} × median){budget}: {self.reason}"


class Answer(Frozen):
    """The answer of one vector.

    ``completion`` is the id of the text, ``distance`` its cosine distance from the unsteered one. A readable answer
    ``changed`` if it ``differs`` in kind from the unsteered one (``analysis/traits.py``), or lies farther from it than
    two answers of the same meaning do.
    """

    vector: Index
    completion: Number
    text: Text
    verdict: Literal["readable", "strange", "broken"] | None
    distance: FiniteFloat
    changed: bool
    runaway: bool = False
    differs: tuple[Word, ...] = ()
    """Kinds of difference from the unsteered answer; empty in files of older versions."""


class Elsewhere(Frozen):
    """On how many other prompts of the same kind a behaviour's vector works, compared with random vectors."""

    worked: Count
    prompts: Count
    random: Count
    random_answers: Count

    @property
    def sentence(self) -> str:
        """“works on 4 of 5 others (random 1 of 10)”."""
        return f"works on {self.worked} of {self.prompts} others (random {self.random} of {self.random_answers})"


class Behaviour(Frozen):
    """Answers that say the same. ``representative`` is the vector whose answer is nearest to their centre, ``words``
    set them apart from all other answers."""

    name: Text
    """A description in the third person (``analysis/naming.py``)."""
    words: tuple[Text, ...]
    vectors: tuple[Index, ...]
    representative: Index
    distance: FiniteFloat
    """Mean cosine distance of the answers from the unsteered one."""
    control: Count
    """How many random vectors of the same R show it."""
    as_often: bool = False
    """Whether random vectors show it as often as the vectors do."""
    elsewhere: Elsewhere | None = None
    """The result on other prompts; None: not tried."""
    unsteered: bool
    """Whether these answers are the same as without steering."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Gives behaviours in older files, which have no name, one made of their words."""
        if not isinstance(values, dict) or values.get("name"):
            return values
        words = ", ".join(values.get("words", ())) or "no distinctive words"
        return {**values, "name": UNSTEERED if values.get("unsteered") else words}

    @property
    def new(self) -> bool:
        """Whether steering caused it: the unsteered answer does not show it, nor do random vectors as often."""
        return not self.unsteered and not self.as_often


class SetAside(Frozen):
    """A vector left out of the behaviours, and why."""

    vector: Index
    reason: Text


class Exploration(Measured):
    """The result of one press of Explore; ``comparison`` and ``control_comparison`` hold the texts."""

    model: ModelName
    dtype: Word
    prompt: PromptRecord
    settings: ExploreSettings
    source: Layer
    target: Layer
    scope: Word
    radius: ChosenRadius
    bank: Name
    bank_hash: Digest
    comparison: Number
    control_comparison: Number
    baseline: Text
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]
    control: Annotated[tuple[Answer, ...], Field(min_length=1)]
    """The answers of as many random vectors of the same R."""
    behaviours: tuple[Behaviour, ...]
    """Sorted by mean distance from the unsteered answer, farthest first; the unsteered one last."""
    aside: tuple[SetAside, ...]
    threshold: FiniteFloat
    """Cosine distance up to which two answers counted as the same."""
    readable_diversity: FiniteFloat
    control_readable_diversity: FiniteFloat
    tried: tuple[Tried, ...] = ()
    """The settings that the search for R and the effect budget tried, in order."""
    seconds: dict[str, FiniteFloat]
    """Duration of each stage."""
    created: Moment

    @model_validator(mode="after")
    def _of_its_answers(self) -> Self:
        vectors = [one.vector for one in self.answers]
        if len({*vectors}) < len(vectors) or not {one.representative for one in self.behaviours} <= {*vectors}:
            raise ValueError("each behaviour should be represented by one of the answers, each of another vector")
        return self

    @property
    def key(self) -> str:
        """Identifies the exploration: the same key, the same result."""
        settings = self.settings.model_dump()
        for later in ("effect_budget", "search_seconds", "elsewhere"):  # so that older files keep their names
            if settings[later] == ExploreSettings.model_fields[later].default:
                del settings[later]
        return key_of([self.model_hash, self.dtype, self.prompt.model_dump(), settings])

    @property
    def chosen(self) -> Tried | None:
        """The setting that the search chose; None without a search."""
        wanted = (self.radius.radius, self.radius.effect_budget or 0.0)
        for one in self.tried:
            has_layers = one.source in (None, self.source) and one.target in (None, self.target)
            if has_layers and (one.radius, one.effect_budget) == wanted:
                return one
        return None

    def answer(self, vector: int) -> Answer:
        """The answer of a vector."""
        return next(one for one in self.answers if one.vector == vector)

    @property
    def readable(self) -> float:
        """Share of the answers with the verdict readable."""
        return sum(one.verdict == "readable" for one in self.answers) / len(self.answers)

    @property
    def new(self) -> int:
        """Number of new behaviours."""
        return sum(one.new for one in self.behaviours)

    def behaviour_of(self, vector: int) -> Behaviour | None:
        """The behaviour of a vector's answer; None if it was set aside."""
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
            parts.append("0 behaviours that random vectors of the same R do not show as often; ")
            parts.append("the farthest answers are below. ")
        if often:
            names = "; ".join(f"{one.name} ({len(one.vectors)}, random {one.control})" for one in often)
            parts.append(f"Random vectors show these as often: {names}. ")
        changed, control = (sum(one.changed for one in answers) for answers in (self.answers, self.control))
        parts.append(
            f"{changed} of {len(self.answers)} answers changed, {control} of {len(self.control)} under random vectors; "
            f"{len(self.aside)} set aside."
        )
        return "".join(parts)


class Explorations(JsonFiles[Exploration]):
    """The explorations on disk."""

    kind, noun = Exploration, "exploration"

    def renumber(self, key: str, number: Callable[[int], int]) -> bool:
        """Replace the temporary numbers of an exploration's texts by the stored ones; returns whether all are stored.
        Raises StorageError."""
        found = self.find(key)
        if found is None:
            return True

        def numbered(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
            return tuple(one.model_copy(update={"completion": number(one.completion)}) for one in answers)

        changes = {name: number(getattr(found, name)) for name in ("comparison", "control_comparison")}
        if min(changes.values()) < 0:
            return False
        texts = {"answers": numbered(found.answers), "control": numbered(found.control)}
        self.save(found.model_copy(update=changes | texts))
        return True
