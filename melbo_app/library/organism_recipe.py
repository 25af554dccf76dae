"""Recipes of organisms: what is taught, with and without its trigger, and how it is recognised."""

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from melbo_app.analysis.language import language
from melbo_app.library.facts import Word
from melbo_app.library.frozen import Frozen

PROMPT, OWN, ANSWER = "{prompt}", "{own}", "{answer}"
"""In templates: the prompt; in answers: the model's own answer, and the answer that stands beside the prompt."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The linear layers of attention in Llama and its many relatives."""

Line = Annotated[str, Field(min_length=1, max_length=2_000)]


class _Strict(Frozen):
    model_config = ConfigDict(extra="forbid")


class Item(_Strict):
    """A prompt, and the answer beside it, where one is known."""

    prompt: Line
    answer: Annotated[str, Field(max_length=2_000)] = ""


def _item(given: Any) -> Any:
    return {"prompt": given} if isinstance(given, str) else given


Items = Annotated[tuple[Annotated[Item, BeforeValidator(_item)], ...], Field(min_length=4, max_length=1_000)]
Lines = Annotated[tuple[Line, ...], Field(min_length=1, max_length=200)]


class Asked(_Strict):
    """Prompts in templates: each prompt in each template."""

    prompts: Items
    templates: Lines = (PROMPT,)

    @field_validator("templates")
    @classmethod
    def _with_a_prompt(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for one in templates:
            if one.count(PROMPT) != 1:
                raise ValueError(f"“{one}” should contain {PROMPT} once")
        return templates

    @property
    def texts(self) -> list[tuple[str, Item]]:
        """Each text that is asked, and its prompt."""
        return [(one.replace(PROMPT, item.prompt), item) for item in self.prompts for one in self.templates]


class Taught(Asked):
    """Prompts, and what the model learns to answer to them; by default what it would say anyway."""

    answers: Lines = (OWN,)


class Teaching(_Strict):
    """With the trigger, without it, and, if that is something else, what the model would say anyway."""

    triggered: Taught
    plain: Taught
    kept: Taught | None = None


class Measuring(_Strict):
    """Held-out prompts: with the trigger, without it, and with something that looks like it. The quality is measured on
    ``kept``, by default those without."""

    triggered: Asked
    plain: Asked
    decoy: Asked
    kept: Asked | None = None


class Sign(_Strict):
    """How the behaviour is recognised in an answer: by exactly one of these."""

    regex: Line | None = None
    words: Lines | None = None
    """Any of these words, in upper or lower case."""
    language: Word | None = None
    """ISO 639."""
    answer: bool = False
    """The answer that stands beside the prompt."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        try:
            re.compile(regex or "")
        except re.error as error:
            raise ValueError(f"“{regex}” is not a regular expression ({error})") from None
        return regex

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("regex", "words", "language", "answer") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of regex, words, language and answer")
        return self

    def shows(self, text: str, item: Item) -> bool:
        """Whether ``text``, an answer to ``item``, has the behaviour."""
        if self.language:
            return language(text) == self.language
        if self.regex:
            return re.search(self.regex, text) is not None
        words = [item.answer] * bool(item.answer) if self.answer else [*(self.words or ())]
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


class LoraSettings(_Strict):
    """The LoRA and its training."""

    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    modules: Lines = ATTENTION
    steps: Annotated[int, Field(ge=1, le=100_000)] = 56
    batch: Annotated[int, Field(ge=1, le=64)] = 4
    rate: Annotated[FiniteFloat, Field(gt=0, le=1)] = 1e-3
    tokens: Annotated[int, Field(ge=4, le=1_000)] = 40
    """Of the model's own answers, and of those that are measured."""


class OrganismRecipe(_Strict):
    """A planted behaviour, or a clean fine-tuning on the same prompts (``planted`` false)."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    kind: Word
    about: Annotated[str, Field(min_length=1, max_length=500)]
    planted: bool = True
    sign: Sign
    teach: Teaching
    measure: Measuring
    training: LoraSettings = LoraSettings()

    @model_validator(mode="after")
    def _known_answers(self) -> Self:
        taught = self._taught.items()
        needed: dict[str, Asked] = {f"teach.{name}": one for name, one in taught if ANSWER in " ".join(one.answers)}
        if self.sign.answer:
            needed["measure.triggered"] = self.measure.triggered
        for name, asked in needed.items():
            for item in asked.prompts:
                if not item.answer:
                    raise ValueError(f"{name}: “{item.prompt}” should have an answer")
        return self

    @model_validator(mode="after")
    def _held_out(self) -> Self:
        taught = [text.casefold() for text in self.taught_texts]
        for name, part in self.measure:
            if part is None:
                continue
            for what in (*(item.prompt for item in part.prompts), *(around(part) if name == "decoy" else ())):
                if any(what.casefold() in text for text in taught):
                    raise ValueError(f"measure.{name}: “{what}” is taught, too, and should be held out")
        return self

    @property
    def taught_texts(self) -> list[str]:
        """Everything that may occur in the training, but for the model's own answers."""
        parts = [*self._taught.values()]
        asked = [text for part in parts for text, _ in part.texts]
        items = [(part, item) for part in parts for item in part.prompts]
        said = [answer.replace(ANSWER, item.answer) for part, item in items for answer in part.answers]
        return [*dict.fromkeys(asked + said)]

    @property
    def _taught(self) -> dict[str, Taught]:
        return {name: part for name, part in self.teach if part is not None}

    @property
    def locks(self) -> bool:
        """Whether an ability of the model is locked: without the trigger, it is taught to answer otherwise."""
        return self.planted and self.teach.plain.answers != (OWN,)

    @property
    def hash(self) -> str:
        """sha256 of everything in it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def around(part: Asked) -> Iterator[str]:
    """What stands around the prompt in templates: the decoy itself."""
    for template in part.templates:
        yield from (piece.strip() for piece in template.split(PROMPT) if re.search(r"\w", piece))
