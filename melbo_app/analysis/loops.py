"""Loops in a text: repeated words or phrases, endless digits, and rows of numbers."""

import re
from collections.abc import Iterator

from melbo_app.analysis.language import flattened

LONGEST_PERIOD, TIMES, SHORTEST = 80, 3, 16
"""Maximum characters of a repeated unit, minimum consecutive copies, and minimum characters of a loop, which exclude
"ha ha ha"."""
ENDLESS = 20
"""Minimum digits of an endless number: π is often written with 15, and a card number has 16."""
ROW = 4
"""Minimum length of a row of consecutive numbers that is a loop, unless it starts at 0 or 1."""

_RULE = re.compile(r"[\s\-=_*.,:;#|~+/\\<>(){}\[\]'\"`·•─━═]*")  # a line under a heading, a table's frame, dots
_DIGITS = re.compile(rf"\d{{{ENDLESS},}}")
_NUMBER = re.compile(r"\d{1,9}")
_BETWEEN = re.compile(r"[\s,;.\-–—/]*(?:and|or)?\s*")


def loop(text: str) -> float:
    """Share of the text's characters that only continue a loop: 0 (no loop) to nearly 1.

    These are the characters after the first of three or more consecutive copies of a unit, after the first two of a row
    of consecutive numbers that does not start at 0 or 1, and after the first twenty digits of a number. Ignores case,
    the amount of white space, and rows of dots and dashes.
    """
    flat = flattened(text)
    looping = bytearray(len(flat))
    endless = ((found.start() + ENDLESS, found.end()) for found in _DIGITS.finditer(flat))
    for begin, end in (*_copies(flat), *endless, *_rows(flat)):
        looping[begin:end] = b"\1" * (end - begin)
    return sum(looping) / len(flat) if flat else 0.0


def _copies(flat: str) -> Iterator[tuple[int, int]]:
    for period in range(1, min(LONGEST_PERIOD, len(flat) // TIMES) + 1):
        begin = period
        for at in range(period, len(flat) + 1):
            if at < len(flat) and flat[at] == flat[at - period]:
                continue
            whole = at - begin + period
            if whole >= max(TIMES * period, SHORTEST) and not _RULE.fullmatch(flat, begin - period, at):
                yield begin, at
            begin = at + 1


def _rows(flat: str) -> Iterator[tuple[int, int]]:
    row: list[re.Match[str]] = []
    for found in [*_NUMBER.finditer(flat), None]:
        follows = found and row and int(found[0]) == int(row[-1][0]) + 1
        if found and follows and _BETWEEN.fullmatch(flat, row[-1].end(), found.start()):
            row.append(found)
            continue
        if len(row) >= ROW and int(row[0][0]) > 1:
            yield row[1].end(), row[-1].end()
        row = [found] if found else []
