"""What a study measures of a model: the preference for one of two answers, or a sign in the texts it writes."""

from dataclasses import dataclass
from typing import Self, get_args

from pydantic import ValidationError

from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.errors import InputError
from melbo_app.library.organism_recipe import Item, Sign

FORMS = "logits:A,B (how much it prefers the answer A to B), flag:NAME, words:ONE,TWO, regex:PATTERN or language:CODE"


@dataclass(frozen=True)
class Measure:
    """Exactly one of these is set.

    Attributes:
        answers: two answers; the measure is ln p(first) − ln p(second) (``engine/answer_odds.py``).
        flag: a flag that a text raises beside the unsteered answer to the same prompt (docs/flags.md).
        sign: words, a pattern or a language of a text.
    """

    answers: tuple[str, str] | None = None
    flag: FlagKind | None = None
    sign: Sign | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``logits:A,B``, ``flag:NAME``, ``words:ONE,TWO``, ``regex:PATTERN`` or ``language:CODE``.

        Raises:
            InputError: it is none of these, or its part after the colon cannot be used.
        """
        form, _, given = text.partition(":")
        form, given = form.strip().casefold(), given.strip()
        if not given:
            raise InputError("measure", f"“{text}” is not one", f"Write {FORMS}")
        if form == "logits":
            return cls(answers=two_answers(given, ","))
        if form == "flag":
            flag = next((kind for kind in get_args(FlagKind) if kind == given.casefold()), None)
            if flag is None:
                remedy = f"Choose one of {', '.join(get_args(FlagKind))}"
                raise InputError("measure", f"“{given}” is the name of no flag", remedy)
            return cls(flag=flag)
        if form not in ("words", "regex", "language"):
            raise InputError("measure", f"“{form}” is not one", f"Write {FORMS}")
        words = tuple(one.strip() for one in given.split(",") if one.strip())
        try:
            return cls(sign=Sign(**{form: words if form == "words" else given}))
        except ValidationError as error:
            raise InputError(
                "measure", error.errors()[0]["msg"].removeprefix("Value error, "), f"Write {FORMS}"
            ) from None

    @property
    def is_of_texts(self) -> bool:
        """Whether texts have to be written to measure it."""
        return self.answers is None

    def shows(self, text: str, prompt: str, baseline: str, system: str | None = None) -> bool:
        """Whether ``text``, an answer to ``prompt``, has it. Only for measures of texts."""
        if self.sign is not None:
            return self.sign.shows(text, Item(prompt=prompt[:2_000]))
        return any(one.kind == self.flag for one in flags(text, prompt, system, baseline))

    def __str__(self) -> str:
        if self.answers is not None:
            return f"logits:{','.join(self.answers)}"
        if self.sign is None:
            return f"flag:{self.flag}"
        form = next(name for name in ("words", "regex", "language") if getattr(self.sign, name))
        given = getattr(self.sign, form)
        return f"{form}:{given if isinstance(given, str) else ','.join(given)}"


def two_answers(text: str, separator: str) -> tuple[str, str]:
    """Two different answers on both sides of ``separator``. Raises InputError."""
    given = tuple(one.strip() for one in text.split(separator))
    if len(given) != 2 or not all(given) or given[0] == given[1]:
        raise InputError(
            "answers", f"“{text}” is not two answers", f"Write two different ones, such as Yes{separator}No"
        )
    return given[0], given[1]
