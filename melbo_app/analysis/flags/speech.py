"""Whether a text is in another language than the baseline."""

import re
from functools import lru_cache

from melbo_app.analysis.flags.flag import Flag, quote
from melbo_app.analysis.language import dictionary_words, language

LEAST_LETTERS = 20
"""Letters under which the language of a passage is not clear."""
FAMILIAR = 0.6
"""Share of words in the English dictionary from which a passage counts as English, whatever its letters say."""
_PASSAGE = re.compile(r"[^\n.!?。！？]+[.!?。！？]*")


def language_flag(text: str, baseline: str, user: str) -> Flag | None:
    """Whether ``text``, or a sentence of it, is in another language than all of the baseline.

    Where they repeat the prompt, that is not counted: its language is not theirs.
    """
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
    """The languages of the whole and of its sentences, as (ISO 639 code, passage), where they are clear."""
    found = []
    for passage in (text, *_PASSAGE.findall(text)):
        spoken = main_language(passage)
        if spoken is not None:
            found.append((spoken, passage))
    return tuple(found)


def main_language(passage: str) -> str | None:
    """The language of a passage as an ISO 639 code; None where it is too short or not clear."""
    letters = [one for one in passage if one.isalpha()]
    if len(letters) < LEAST_LETTERS:
        return None
    latin = sum(one.isascii() for one in letters) / len(letters)
    known = dictionary_words(passage, "en") if latin > 0.9 else 0.0
    return "en" if (known or 0.0) >= FAMILIAR else language(passage)
