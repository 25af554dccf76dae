"""Loops in a text: repeated words or phrases, endless digits, rows of numbers, and sentences that begin again."""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from melbo_app.analysis.language import flattened

LONGEST_PERIOD, TIMES, SHORTEST = 80, 3, 16
"""Maximum characters of a repeated unit, minimum consecutive copies, and minimum characters of a loop, which exclude
"ha ha ha"."""
AGAIN, FARTHEST = 20, 150
"""Minimum characters of a passage that begins again, and maximum characters from one beginning to the next."""
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
    endless = ((found.start() + ENDLESS, found.end()) for found in _DIGITS.finditer(flat))
    return _share(flat, (*_copies(flat), *endless, *_rows(flat)))


def begun_again(text: str) -> float:
    """Share of the text's characters that say what stands right before them a second time: 0 to nearly 1.

    "I was so glad. I was so glad" is the beginning of a loop, which a short text has no room for. A passage counts from
    ``AGAIN`` characters on, and from half of the distance between the two beginnings. A refrain elsewhere does not.
    """
    flat = flattened(text)
    return _share(flat, _passages(flat))


def _share(flat: str, stretches: Iterable[tuple[int, int]]) -> float:
    """Share of the characters that lie in one of these stretches."""
    within = np.zeros(len(flat), dtype=bool)
    for begin, end in stretches:
        within[begin:end] = True
    return float(within.mean()) if flat else 0.0


def _copies(flat: str) -> Iterator[tuple[int, int]]:
    for period, begin, end in _repeats(flat, 1, min(LONGEST_PERIOD, len(flat) // TIMES)):
        whole = end - begin + period
        if whole >= max(TIMES * period, SHORTEST) and not _RULE.fullmatch(flat, begin - period, end):
            yield begin, end


def _passages(flat: str) -> Iterator[tuple[int, int]]:
    for distance, begin, end in _repeats(flat, AGAIN, min(FARTHEST, len(flat) - AGAIN)):
        if end - begin >= max(AGAIN, distance / 2) and not _RULE.fullmatch(flat, begin, end):
            yield begin, end


def _repeats(flat: str, least: int, most: int) -> Iterator[tuple[int, int, int]]:
    """For each distance, the stretches whose characters are those that stand so far before: (distance, begin, end)."""
    codes = np.frombuffer(flat.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    for distance in range(least, most + 1):
        same = np.concatenate([[False], codes[distance:] == codes[:-distance], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1]) + distance
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield distance, begin, end


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
