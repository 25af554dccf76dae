"""Marks the words of a text that differ from the baseline."""

import re
from collections import Counter
from difflib import SequenceMatcher
from os.path import commonprefix

# Scripts written without spaces (Thai to Tibetan, Myanmar, Khmer, kana, Han) are compared character by character.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PUNCTUATION = r"!-/:-@\[-`{-~\u00a1\u00ab\u00b7\u00bb\u00bf\u2010-\u205e\u3000-\u303f\uff01-\uff0f\uff1a-\uff20"
_LETTER = rf"[^\s{_PUNCTUATION}{UNSPACED}]"
_WORD = re.compile(rf"[{UNSPACED}]|{_LETTER}+(?:['’_-]{_LETTER}+)*|[^\s]")
_IS_PUNCTUATION = re.compile(rf"[{_PUNCTUATION}]")

# Half a second at most: a pass visits every pair of equal words, and there may be as many passes as words.
MOST_PAIRS = 50_000
MOST_WORDS = 2_500


def mark(baseline: str, text: str) -> list[tuple[str, bool]]:
    """Pieces of ``text`` in order, each with True if it is not in ``baseline``; joined they are exactly ``text``.

    Compares words (difflib) and ignores white space. Flags alternate. Punctuation between two marked runs is marked
    too. If the differing middle parts are too large to compare word by word, all of the middle is marked.
    """
    if not text:
        return []
    ours = list(_WORD.finditer(text))
    theirs = _WORD.findall(baseline)
    if not theirs:
        return [(text, True)]
    marked = _marked(theirs, [word.group() for word in ours])
    _fill_islands(marked, [word.group() for word in ours])
    return _pieces(text, ours, marked)


def _marked(baseline: list[str], words: list[str]) -> list[bool]:
    """For each of ``words``, whether ``baseline`` lacks it."""
    # of any sequences, whatever its module
    start = len(commonprefix([baseline, words]))  # noqa: RUF071
    end = len(commonprefix([baseline[start:][::-1], words[start:][::-1]]))  # noqa: RUF071
    old, new = baseline[start : len(baseline) - end], words[start : len(words) - end]
    marked = [False] * start + [True] * len(new) + [False] * end
    counts = Counter(old)
    if max(len(old), len(new)) <= MOST_WORDS and sum(counts[word] for word in new) <= MOST_PAIRS:
        for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            for place in range(start + block.b, start + block.b + block.size):
                marked[place] = False
    return marked


def _fill_islands(marked: list[bool], words: list[str]) -> None:
    """Mark punctuation between two marked words, in place, because runs with gaps are hard to read."""
    last: int | None = None  # the latest marked word, while only punctuation has followed
    for place, word in enumerate(words):
        if marked[place]:
            if last is not None:
                marked[last:place] = [True] * (place - last)
            last = place
        elif not _IS_PUNCTUATION.fullmatch(word):
            last = None


def _pieces(text: str, words: list[re.Match[str]], marked: list[bool]) -> list[tuple[str, bool]]:
    """Cut ``text`` where the flag changes; white space between two runs belongs to the unmarked one."""
    pieces: list[tuple[str, bool]] = []
    begin, flag = 0, False
    for place, word in enumerate(words):
        if marked[place] == flag:
            continue
        cut = word.start() if marked[place] else words[place - 1].end()
        if cut > begin:
            pieces.append((text[begin:cut], flag))
        begin, flag = cut, marked[place]
    end = words[-1].end() if flag else len(text)
    if end > begin:
        pieces.append((text[begin:end], flag))
    if end < len(text):
        pieces.append((text[end:], False))
    return pieces
