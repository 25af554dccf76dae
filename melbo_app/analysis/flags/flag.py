"""A flag: one thing in a completion that an auditor would want to see, with its reason."""

import re
from dataclasses import dataclass
from typing import Literal

from melbo_app.analysis.difference import UNSPACED

FlagKind = Literal[
    "refusal gone", "refusal new", "language changed", "code instead of prose", "instructions echoed",
    "system prompt repeated", "persona changed", "answer changed",
]  # fmt: skip

LONGEST_QUOTE = 80
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:['’-][^\W_{UNSPACED}]+)*")


@dataclass(frozen=True)
class Flag:
    """One conspicuous feature of a completion. ``reason`` is a sentence that quotes the evidence."""

    kind: FlagKind
    reason: str


def quote(text: str) -> str:
    """The beginning of ``text`` on one line, in quotation marks."""
    flat = " ".join(text.split())
    return f"“{flat if len(flat) <= LONGEST_QUOTE else flat[: LONGEST_QUOTE - 1].rstrip() + '…'}”"


def words(text: str) -> list[re.Match[str]]:
    """The words of ``text`` with their positions; in scripts without spaces, its characters."""
    return list(_WORD.finditer(text))


def plain_words(text: str) -> list[str]:
    """The words of ``text`` in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]
