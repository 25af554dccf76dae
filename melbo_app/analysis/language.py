"""Properties of a text that need no language model: repetition, share of dictionary words, language."""

import re
import threading
from functools import cache
from typing import TYPE_CHECKING

from melbo_app.analysis.difference import UNSPACED

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

STRETCH, UNSPACED_COUNTS = 12, 3
"""Characters of the n-grams compared for repetition: two or three words, or one long one. A character of a script
without spaces, which represents a syllable or a word, counts as three."""
SURE = 0.5
"""Minimum probability of a language: short texts and word salad have no clear one."""

# languages of the detector: dictionaries with their words
_DICTIONARIES = {"hr": "hbs", "sr": "hbs", "bs": "hbs", "no": "nb"}
_UNSPACED = re.compile(f"[{UNSPACED}]")
_WORD = re.compile(rf"[^\W\d_{UNSPACED}]+(?:['’][^\W\d_{UNSPACED}]+)*")
_APOSTROPHE = re.compile("['’]")
_loading = threading.Lock()


def repetition(text: str) -> float:
    """Share of the text's 12-character n-grams that occurred before: 0 (no repetition) to nearly 1 (a loop).

    seq-rep-n (Welleck et al. 2020) over characters instead of words, so that it means the same in every script. Ignores
    case and the amount of white space.
    """
    flat = flattened(text)
    stretches = [flat[start : start + STRETCH] for start in range(len(flat) - STRETCH + 1)]
    return 1 - len(set(stretches)) / len(stretches) if stretches else 0.0


def flattened(text: str) -> str:
    """``text`` in lower case with single spaces, and characters of scripts without spaces three times."""
    return _UNSPACED.sub(lambda one: one[0] * UNSPACED_COUNTS, " ".join(text.casefold().split()))


def language(text: str) -> str | None:
    """The language as an ISO 639 code, or None if it is unclear (naive Bayes on byte n-grams, py3langid)."""
    with _loading:
        identifier = _identifier()
    code, probability = identifier.classify(text)
    return code if probability >= SURE and code != "zxx" else None


def dictionary_words(text: str, language: str | None) -> float | None:
    """Share of the text's words in the dictionary of its language or in the English one (simplemma).

    None without words, or for a language without a dictionary. Without a clear ``language``, ASCII words are looked up
    in English. Ignores numbers, single letters and scripts without spaces between words (Chinese, Japanese, Thai …).
    """
    from simplemma import is_known
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    words = [word for word in _WORD.findall(text) if len(word) > 1]
    if language is None:
        words = [word for word in words if word.isascii()]
    own = _DICTIONARIES.get(language or "en", language or "en")
    if not words or own not in SUPPORTED_LANGUAGES:
        return None

    def known(word: str) -> bool:
        # dictionaries contain can't, but not l'homme
        return is_known(word, (own, "en")) or all(
            is_known(part, (own, "en")) for part in _APOSTROPHE.split(word) if len(part) > 2
        )

    with _loading:  # loads each dictionary once: it takes up to a second and tens of MB
        return sum(map(known, words)) / len(words)


def warm_up() -> None:
    """Load the language detector and the English dictionary (about a second), so that the first text need not wait."""
    dictionary_words("warm", language("This is a text to warm up with."))


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
