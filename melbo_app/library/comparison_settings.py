"""What a comparison was asked for, as it is kept beside its texts."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, TypeAdapter
from typing_extensions import TypedDict  # pydantic reads no other one before Python 3.12

from melbo_app.library.facts import Count, Digest, Index, Name, Radius, Text

ComparisonKind = Literal["steer", "map", "sweep", "part", "sample"]
"""What a comparison was made for; a part is one R of a sweep, a sample came with the program."""
Temperature = Annotated[FiniteFloat, Field(ge=0, le=10)]
TopP = Annotated[FiniteFloat, Field(gt=0, le=1)]


class PromptSettings(TypedDict):
    """A prompt among the settings, as ``Prompt`` has it."""

    user: Text
    system: Text | None
    template: bool | str


class DecodingSettings(TypedDict):
    """How tokens were chosen, as ``Decoding`` has it."""

    max_new_tokens: Count
    temperature: Temperature
    top_p: TopP
    seed: Count


class ComparisonSettings(TypedDict, total=False):
    """What a comparison was asked for. ``radii`` None: each vector had the norm that it has in the bank.

    Older versions kept fewer of these; what is not among them is not kept.
    """

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
