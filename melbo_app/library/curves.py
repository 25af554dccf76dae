"""Diversity curves: the last one of each model and set of prompts, a JSON file each."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Moment
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class KeptCurve(Measured):
    """A diversity curve with what it belongs to."""

    prompts: Annotated[tuple[PromptRecord, ...], Field(min_length=1)]
    curve: DiversityCurve
    changed: Moment

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        self.curve.arrays()  # raises ValueError where R does not grow
        return self

    @property
    def key(self) -> str:
        """The curve of the same model and prompts that comes later takes its place."""
        return key_of([self.model_hash, [prompt.model_dump() for prompt in self.prompts]])

    @property
    def moment(self) -> datetime:
        return self.changed


class Curves(JsonFiles[KeptCurve]):
    """The curves that were measured."""

    kind, noun = KeptCurve, "diversity curve"
