"""Whether a text runs in a loop: a word or phrase again and again, digits without end, rows of numbers."""

import re
from collections.abc import Iterator

from melbo_app.analysis.difference import UNSPACED

LONGEST_PERIOD, TIMES, SHORTEST = 80, 3, 16
"""Characters of the longest stretch whose return is looked for; how often it stands in a row from which that is a loop;
characters of the shortest loop, so that "ha ha ha" is none."""
UNSPACED_COUNTS = 3
"""Characters for which one of a script without blanks counts."""
ENDLESS = 20
"""Digits in a row from which a number is one without end: π is written with 15, a card's number with 16."""
ROW = 4
"""Whole numbers in a row, each one more than the last, from which they are a loop, unless they count from 0 or 1."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_RULE = re.compile(r"[\s\-=_*.,:;#|~+/\\<>(){}\[\]'\"`·•─━═]*")  # a line under a heading, a table's frame, dots
_DIGITS = re.compile(rf"\d{{{ENDLESS},}}")
_NUMBER = re.compile(r"\d{1,9}")
_BETWEEN = re.compile(r"[\s,;.\-–—/]*(?:and|or)?\s*")


def loop(text: str) -> float:
    """Share of the text's characters that do no more than go round: 0 (it goes on) to nearly 1 (a loop).

    Those are what comes after the first of three or more copies of a stretch that stand in a row, after the first two
    of a row of consecutive numbers that does not count from 0 or 1, and after the first twenty digits of a number. Case
    and the amount of white space do not count, nor do rows of dots and dashes.
    """
    flat = _UNSPACED.sub(lambda one: one[0] * UNSPACED_COUNTS, " ".join(text.casefold().split()))
    round_and_round = bytearray(len(flat))
    for begin, end in (*_returns(flat), *_endless(flat), *_rows(flat)):
        round_and_round[begin:end] = b"\1" * (end - begin)
    return sum(round_and_round) / len(flat) if flat else 0.0


def _returns(flat: str) -> Iterator[tuple[int, int]]:
    for period in range(1, min(LONGEST_PERIOD, len(flat) // TIMES) + 1):
        begin = period
        for at in range(period, len(flat) + 1):
            if at < len(flat) and flat[at] == flat[at - period]:
                continue
            whole = at - begin + period
            if whole >= max(TIMES * period, SHORTEST) and not _RULE.fullmatch(flat, begin - period, at):
                yield begin, at
            begin = at + 1


def _endless(flat: str) -> Iterator[tuple[int, int]]:
    for found in _DIGITS.finditer(flat):
        yield found.start() + ENDLESS, found.end()


def _rows(flat: str) -> Iterator[tuple[int, int]]:
    row: list[re.Match[str]] = []
    for found in [*_NUMBER.finditer(flat), None]:
        if (
            found
            and row
            and int(found[0]) == int(row[-1][0]) + 1
            and _BETWEEN.fullmatch(flat, row[-1].end(), found.start())
        ):
            row.append(found)
            continue
        if len(row) >= ROW and int(row[0][0]) > 1:
            yield row[1].end(), row[-1].end()
        row = [found] if found else []
