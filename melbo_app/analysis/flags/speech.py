"""Whether a text is in another language than the baseline."""

import re
from functools import lru_cache

from melbo_app.analysis.flags.flag import Flag, quote
from melbo_app.analysis.language import dictionary_words, language

LEAST_LETTERS = 20
"""Minimum letters of a passage for its language to be clear."""
FAMILIAR = 0.6
"""Minimum share of words in the English dictionary for a passage to count as English without a language detector."""
_PASSAGE = re.compile(r"[^\n.!?。！？]+[.!?。！？]*")


def language_flag(text: str, baseline: str, user: str) -> Flag | None:
    """A flag if ``text``, or a sentence of it, is in a language that the baseline does not use. Repetitions of the
    prompt do not count."""
    before = _languages(baseline.replace(user.strip(), " "))
    usual = {language for language, _ in before}
    if not usual:
        return None
    for spoken, passage in _languages(text.replace(user.strip(), " ")):
        if spoken not in usual:
            return Flag("language changed", f"It goes from {before[0][0]} to {spoken}: {quote(passage)}.")
    return None


@lru_cache(maxsize=1024)
def _languages(text: str) -> tuple[tuple[str, str], ...]:
    """The languages of the text and of its sentences, as (ISO 639 code, passage), where they are clear."""
    spoken = [(main_language(passage), passage) for passage in (text, *_PASSAGE.findall(text))]
    return tuple((code, passage) for code, passage in spoken if code is not None)


def main_language(passage: str) -> str | None:
    """The language of a passage as an ISO 639 code; None if it is too short or unclear."""
    letters = [one for one in passage if one.isalpha()]
    if len(letters) < LEAST_LETTERS:
        return None
    latin = sum(one.isascii() for one in letters) / len(letters)
    known = dictionary_words(passage, "en") if latin > 0.9 else 0.0
    return "en" if (known or 0.0) >= FAMILIAR else language(passage)
