"""A flag: what an auditor would want to see of a completion, with its reason."""

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
    """One thing that stands out in a completion. ``reason`` is a sentence that quotes what showed it."""

    kind: FlagKind
    reason: str


def quote(text: str) -> str:
    """The beginning of ``text`` on one line, between quotation marks."""
    flat = " ".join(text.split())
    return f"“{flat if len(flat) <= LONGEST_QUOTE else flat[: LONGEST_QUOTE - 1].rstrip() + '…'}”"


def words(text: str) -> list[re.Match[str]]:
    """The words of ``text`` with their places; in scripts without blanks, its characters."""
    return list(_WORD.finditer(text))
