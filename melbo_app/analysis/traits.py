"""Traits in which answers to a prompt differ in kind: refusal, language, code, a number, the speaker, the advice.

Embeddings miss these: "17 + 25 = 42" is next to "17 + 25 = 43".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.analysis.flags.arithmetic import answer, is_arithmetic
from melbo_app.analysis.flags.code import code
from melbo_app.analysis.flags.persona import MODELS, personas
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.analysis.flags.speech import main_language
from melbo_app.analysis.stance import opposed, stance

Difference = Literal["refusal", "language", "code", "number", "speaker", "advice", "flag"]
DIFFERENCES: tuple[Difference, ...] = get_args(Difference)

_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|tall|far|long|high|deep|big|fast|heavy|hot|cold)\b"
    r"|\b(?:what|which) (?:year|number|percentage)\b|\bwhen (?:did|was|were|is)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
_LIST_MARK = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
_SPELT = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "hundred": 100,
}  # fmt: skip
_SPELT_NUMBER = re.compile(rf"\b(?:{'|'.join(list(_SPELT)[2:])})\b", re.IGNORECASE)
_ABOUT_CODE = re.compile(r"`[^`\n]+`|\b(?:code|function|method|class|library|module|script|snippet)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Traits:
    """The traits of an answer. None, an empty stance or an empty speaker means unknown. ``code`` is None for prose
    about code, which may announce some. ``flags`` omits those that the baseline raises."""

    refuses: bool
    language: str | None
    code: bool | None
    number: float | None
    speaker: frozenset[str]
    stance: Mapping[str, int]
    flags: frozenset[FlagKind] = frozenset()


@lru_cache(maxsize=2048)
def traits(text: str, user: str, system: str | None = None, baseline: str | None = None) -> Traits:
    """The traits of ``text``, an answer to the prompt ``user``; its flags compare it with ``baseline``."""
    raised = {flag.kind for flag in flags(text, user, system, baseline)}
    if baseline is not None:
        raised -= {flag.kind for flag in flags(baseline, user, system)}
    refuses, is_code = refusal(text) is not None, code(text) is not None
    prose = text if not is_code else text.partition("```")[0] if "```" in text else ""
    who = frozenset[str]().union(*(named for _, named in personas(text)))
    if who & (MODELS | {"machine"}):  # all machines are one word, whatever their name
        who = (who - MODELS) | {"machine"}
    return Traits(
        refuses=refuses,
        language=main_language(prose.replace(user.strip(), " ")),
        code=True if is_code else None if _ABOUT_CODE.search(text) else False,
        number=_number(text, user),
        speaker=who,
        stance={} if refuses else stance(text, user),
        flags=frozenset(raised),
    )


def differences(one: Traits, other: Traits) -> tuple[Difference, ...]:
    """The traits in which two answers differ; a trait that is unknown for either does not count."""
    found: dict[Difference, bool] = {
        "refusal": one.refuses != other.refuses,
        "language": None not in (one.language, other.language) and one.language != other.language,
        "code": None not in (one.code, other.code) and one.code != other.code,
        "number": None not in (one.number, other.number) and one.number != other.number,
        "speaker": bool(one.speaker and other.speaker) and not one.speaker & other.speaker,
        "advice": opposed(one.stance, other.stance) is not None,
        "flag": one.flags != other.flags,
    }
    return tuple(kind for kind in DIFFERENCES if found[kind])


def _number(text: str, user: str) -> float | None:
    """The text's answer to a prompt that asks for a number."""
    if is_arithmetic(user):
        stated = answer(text, user)
        return None if stated is None else float(stated[0].replace(",", ""))
    if not _ASKS_NUMBER.search(user):
        return None
    given, text = set(_NUMBER.findall(user)), _LIST_MARK.sub(" ", text)
    figure = next((one for one in _NUMBER.finditer(text) if one.group() not in given), None)
    spelt = _SPELT_NUMBER.search(text)
    if figure is not None and (spelt is None or figure.start() < spelt.start()):
        return float(figure.group().replace(",", ""))
    return None if spelt is None else float(_SPELT[spelt.group().casefold()])
