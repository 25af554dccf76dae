"""Diversity curves: the latest of each model and set of prompts, one JSON file each."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Moment
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class KeptCurve(Measured):
    """A diversity curve with its model and prompts."""

    dated: ClassVar[str] = "changed"
    prompts: Annotated[tuple[PromptRecord, ...], Field(min_length=1)]
    curve: DiversityCurve
    changed: Moment

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        self.curve.arrays()  # raises ValueError unless R increases
        return self

    @property
    def key(self) -> str:
        """A later curve of the same model and prompts replaces this one."""
        return key_of([self.model_hash, [prompt.model_dump() for prompt in self.prompts]])


class Curves(JsonFiles[KeptCurve]):
    """The diversity curves on disk."""

    kind, noun = KeptCurve, "diversity curve"
