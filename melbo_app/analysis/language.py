"""What can be said of a text without a model: whether it repeats itself, whether its words exist, its language."""

import re
import threading
from functools import cache
from typing import TYPE_CHECKING

from melbo_app.analysis.difference import UNSPACED

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

STRETCH, UNSPACED_COUNTS = 12, 3
"""Characters of the stretches that are compared to find repetition: two or three words, or one long one. One of a
script without blanks, which stands for a syllable or a word, counts as three."""
SURE = 0.5
"""Probability under which the language of a text is not named: short texts and word salad have none that is clear."""

# the language of the detector: the dictionary that has its words
_DICTIONARIES = {"hr": "hbs", "sr": "hbs", "bs": "hbs", "no": "nb"}
_UNSPACED = re.compile(f"[{UNSPACED}]")
_WORD = re.compile(rf"[^\W\d_{UNSPACED}]+(?:['’][^\W\d_{UNSPACED}]+)*")
_APOSTROPHE = re.compile("['’]")
_loading = threading.Lock()


def repetition(text: str) -> float:
    """Share of the text's stretches of 12 characters that have come before in it: 0 (nothing) to nearly 1 (a loop).

    The share of repeated n-grams (seq-rep-n; Welleck et al. 2020), over characters and not over words, so that it
    means the same in every script. Case and the amount of white space do not count.
    """
    flat = _UNSPACED.sub(lambda one: one[0] * UNSPACED_COUNTS, " ".join(text.casefold().split()))
    stretches = [flat[start : start + STRETCH] for start in range(len(flat) - STRETCH + 1)]
    return 1 - len(set(stretches)) / len(stretches) if stretches else 0.0


def language(text: str) -> str | None:
    """The language as an ISO 639 code, or None where it is not clear (naive Bayes on byte n-grams, py3langid)."""
    code, probability = _identifier().classify(text)
    return code if probability >= SURE and code != "zxx" else None


def dictionary_words(text: str, language: str | None) -> float | None:
    """Share of the text's words that are in the dictionary of its language or in the English one (simplemma).

    None where nothing can be said: no words, or a language without a dictionary. A text whose language is not clear
    is looked up in English, as far as it is written in plain Latin letters. Numbers, single letters and scripts
    without blanks between words (Chinese, Japanese, Thai …) are left out.
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
        # can't is in a dictionary as it is, and l'homme is not
        return is_known(word, (own, "en")) or all(
            is_known(part, (own, "en")) for part in _APOSTROPHE.split(word) if len(part) > 2
        )

    with _loading:  # reading a dictionary takes up to a second and tens of MB: once is enough
        return sum(map(known, words)) / len(words)


def warm_up() -> None:
    """Read language model and English dictionary (about a second), so that the first text does not wait for them."""
    dictionary_words("warm", language("This is a text to warm up with."))


def _identifier() -> "LanguageIdentifier":
    with _loading:
        return _load_identifier()


@cache
def _load_identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
