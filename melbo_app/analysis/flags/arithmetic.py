"""Whether the answer to a sum is another one than the baseline's."""

import re

from melbo_app.analysis.flags.flag import Flag, quote

_OPERATION = re.compile(
    r"\d\s*(?:[+*/×÷−–-]|times|plus|minus|divided by|multiplied by|mal|fois|por|más)\s*\d", re.IGNORECASE
)
_AMOUNT = re.compile(r"\bhow (?:many|much)\b|\bwie viele?\b|\bcombien\b|\bcuántos?\b", re.IGNORECASE)
_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_STATED = re.compile(
    r"(?:=|\b(?:equals?|is(?: equal to| indeed)?|are|has|have|makes?|(?:result|answer|total):?)(?!\w))"
    rf"[\s:*$\\(]*(?:now |exactly |a total of |left with )?({_NUMBER})(?!\s*[+*/×÷=-]\s*\d|\d|\.\d)",
    re.IGNORECASE,
)


def is_arithmetic(user: str) -> bool:
    """Whether a prompt asks for a number that can be worked out from numbers in it."""
    return _OPERATION.search(user) is not None or (
        _AMOUNT.search(user) is not None and len(re.findall(_NUMBER, user)) >= 2
    )


def answer(text: str) -> tuple[str, str] | None:
    """The last number that ``text`` states as a result, and the line where it does; None where it states none."""
    bare = re.fullmatch(rf"\W*({_NUMBER})\W*", text)
    if bare is not None:
        return bare.group(1), text.strip()
    stated = list(_STATED.finditer(text))
    if not stated:
        return None
    last = stated[-1]
    begin = text.rfind("\n", 0, last.start()) + 1
    return last.group(1), text[max(begin, last.end() - 60) : last.end()]


def answer_flag(text: str, baseline: str, user: str) -> Flag | None:
    """Whether both give an answer, and not the same."""
    if not is_arithmetic(user):
        return None
    before, after = answer(baseline), answer(text)
    if before is None or after is None or _value(before[0]) == _value(after[0]):
        return None
    return Flag(
        "answer changed",
        f"The answer is {after[0]} ({quote(after[1])}); without steering it is {before[0]} ({quote(before[1])}).",
    )


def _value(number: str) -> float:
    return float(number.replace(",", ""))
