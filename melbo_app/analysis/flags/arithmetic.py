"""Whether the answer to a calculation differs from the baseline's."""

import re

from melbo_app.analysis.flags.flag import Flag, quote

_OPERATION = re.compile(
    r"\d\s*(?:[+*/×÷−–-]|times|plus|minus|divided by|multiplied by|mal|fois|por|más)\s*\d", re.IGNORECASE
)
_AMOUNT = re.compile(r"\bhow (?:many|much)\b|\bwie viele?\b|\bcombien\b|\bcuántos?\b", re.IGNORECASE)
_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_END = r"(?!\s*[+*/×÷=-]\s*\d|\d|\.\d)"
_RESULT = re.compile(
    rf"(?:=|\bequals?\b|\bis equal to\b|\b(?:result|answer|total|sum)(?: is|:)?)[\s:*$\\(]*({_NUMBER}){_END}"
    rf"|({_NUMBER}){_END}(?: \w+)? (?:left|remaining|in total|altogether)\b",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    rf"\b(?:is|are|has|have|makes?)\s+(?:now |exactly |indeed |actually )?({_NUMBER}){_END}", re.IGNORECASE
)
_QUOTED = re.compile(r"\"[^\"\n]+\"|“[^”\n]+”")


def is_arithmetic(user: str) -> bool:
    """Whether a prompt asks for a number that follows from the numbers in it."""
    return _OPERATION.search(user) is not None or (
        _AMOUNT.search(user) is not None and len(re.findall(_NUMBER, user)) >= 2
    )


def answer(text: str, user: str) -> tuple[str, str] | None:
    """The last number that ``text`` states as a result, and the passage; None if it states none. In a sentence such as
    "she has 3", a number of the prompt does not count as a result."""
    bare = re.fullmatch(rf"\W*({_NUMBER})\W*", text)
    if bare is not None:
        return bare.group(1), text.strip()
    own = _QUOTED.sub(lambda said: " " * len(said.group()), text)
    given = set(re.findall(_NUMBER, user))
    stated = [*_RESULT.finditer(own), *(one for one in _CLAIM.finditer(own) if one.group(1) not in given)]
    if not stated:
        return None
    stated.sort(key=re.Match.end)
    if len(stated) > 1 and stated[-1].end() == len(text):  # the text may be cut off inside its last number
        stated.pop()
    last = stated[-1]
    begin = max(text.rfind("\n", 0, last.end() - 1) + 1, last.end() - 60)
    return next(number for number in last.groups() if number), text[begin : last.end()]


def answer_flag(text: str, baseline: str, user: str) -> Flag | None:
    """A flag if both texts give an answer, and the answers differ."""
    if not is_arithmetic(user):
        return None
    before, after = answer(baseline, user), answer(text, user)
    if before is None or after is None or _value(before[0]) == _value(after[0]):
        return None
    return Flag(
        "answer changed",
        f"The answer is {after[0]} ({quote(after[1])}); without steering it is {before[0]} ({quote(before[1])}).",
    )


def _value(number: str) -> float:
    return float(number.replace(",", ""))
