"""The settings of a comparison, stored with its texts."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, TypeAdapter
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from melbo_app.library.facts import Count, Digest, Index, Name, Radius, Text

ComparisonKind = Literal["steer", "map", "sweep", "part", "sample"]
"""The origin of a comparison; a part is one R of a sweep, a sample shipped with the program."""
Temperature = Annotated[FiniteFloat, Field(ge=0, le=10)]
TopP = Annotated[FiniteFloat, Field(gt=0, le=1)]


class PromptSettings(TypedDict):
    """The fields of ``Prompt``."""

    user: Text
    system: Text | None
    template: bool | str


class DecodingSettings(TypedDict):
    """The fields of ``Decoding``."""

    max_new_tokens: Count
    temperature: Temperature
    top_p: TopP
    seed: Count


class ComparisonSettings(TypedDict, total=False):
    """The settings of a comparison. ``radii`` None: each vector at its norm in the bank. Older versions stored fewer of
    these; other keys are dropped."""

    kind: ComparisonKind
    bank: Name | None
    bank_hash: Digest | None
    vectors: list[Index]
    radii: list[Radius] | None
    random_control: bool
    both_signs: bool
    prompts: list[PromptSettings]
    decoding: DecodingSettings
    finished: bool


SETTINGS = TypeAdapter(ComparisonSettings)
