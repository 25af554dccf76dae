"""Distinctive words and phrases of groups of texts.

Class-based TF-IDF (Grootendorst 2022, BERTopic: Neural topic modeling with a class-based TF-IDF procedure), here
log(1 + n) · log(1 + A / f) for a word that occurs n times in a group and f times in all groups, with A the mean number
of words per group.
"""

import math
import re
from collections.abc import Sequence

import numpy as np

from melbo_app.analysis.flags.flag import plain_words, words

MOST_WORDS = 4
LEAST_RUN, MOST_RUN = 3, 8
"""Words in a phrase."""
_MARKS = '`"“”()'
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
_WORD = r"(?u)\b\w[\w'’]+\b"


def distinctive_words(groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """For each group of texts, the words and pairs of words that distinguish it from the others, the strongest first.

    A word must occur in a larger share of the group's texts than of any other group's. English function words count
    only if nothing else is left. A group without words, or with no word that distinguishes it, gets none.
    """
    found = _words(groups, "english")
    plain = _words(groups, None) if not all(found) else found
    return [one or other for one, other in zip(found, plain, strict=True)]


def distinctive_phrase(text: str, own: Sequence[str], others: Sequence[str], known: str = "") -> str | None:
    """The most distinctive run of 3 to 8 words in one sentence of ``text``, verbatim; None if there is none.

    None of ``others`` contains it. A word weighs more the fewer of ``others`` use it; words of ``known`` (the prompt)
    and function words weigh nothing. Runs gain from being shared by ``own``, the other texts of the group.
    """
    rivals, friends = [_flat(one) for one in others], [_flat(one) for one in own]
    vocabulary = [set(one.split()) for one in rivals]
    common = _function_words() | set(_flat(known).split())

    def weight(word: str) -> float:
        seen = sum(word in one for one in vocabulary)
        return 0.0 if word in common or word.isdigit() else math.log((len(vocabulary) + 2) / (seen + 1))

    best: tuple[float, str] | None = None
    for sentence in _SENTENCE.findall(text):
        found, plain = words(sentence), plain_words(sentence.replace("’", "'"))
        for begin in range(len(found)):
            for end in range(begin + LEAST_RUN, min(begin + MOST_RUN, len(found)) + 1):
                run = " ".join(plain[begin:end])
                if any(f" {run} " in one for one in rivals) or plain[end - 1] in _function_words():
                    continue
                shared = sum(f" {run} " in one for one in friends) / max(1, len(friends))
                gain = sum(map(weight, dict.fromkeys(plain[begin:end])))
                if not gain:
                    continue
                # another word must be worth its length, and a run at the start of the sentence reads best
                value = gain - 0.35 * (end - begin) + 0.8 * shared + (0.5 if begin == 0 else 0)
                value -= 0.4 * (plain[begin] in _function_words() and begin > 0)
                if best is None or value > best[0]:
                    best = value, _whole(sentence, found[begin].start(), found[end - 1].end())
    return None if best is None else best[1]


def _whole(sentence: str, begin: int, end: int) -> str:
    """The stretch from ``begin`` to ``end`` with the adjacent quotation marks and brackets."""
    while begin > 0 and sentence[begin - 1] in _MARKS:
        begin -= 1
    while end < len(sentence) and sentence[end] in _MARKS:
        end += 1
    return sentence[begin:end]


def _flat(text: str) -> str:
    """The words of a text, each between spaces."""
    return f" {' '.join(plain_words(text))} ".replace("’", "'")


def _function_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # takes a second to import

    return ENGLISH_STOP_WORDS


def _words(groups: Sequence[Sequence[str]], stop_words: str | None) -> list[tuple[str, ...]]:
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer  # takes a second to import

    reader = CountVectorizer(ngram_range=(1, 2), token_pattern=_WORD, stop_words=stop_words)
    texts = [text for group in groups for text in group]
    try:
        counts = reader.fit_transform(texts)
    except ValueError:  # the texts have no words
        return [() for _ in groups]
    names = reader.get_feature_names_out()
    # sparse up to the groups' sums: thousands of texts have a hundred thousand pairs of words
    sizes = [len(group) for group in groups]
    of = np.repeat(range(len(groups)), sizes)
    member = csr_array((np.ones(len(texts)), (of, range(len(texts)))), shape=(len(groups), len(texts)))
    total = (member @ counts).toarray()
    share = (member @ (counts > 0)).toarray() / np.maximum(1, sizes)[:, None]
    lengths = total.sum(axis=1)
    weight = np.log1p(total) * np.log1p(lengths.mean() / np.maximum(total.sum(axis=0), 1))
    chosen = []
    for group in range(len(groups)):
        others = np.delete(share, group, axis=0).max(axis=0, initial=0.0)
        able = [
            at for at in np.argsort(-weight[group], kind="stable") if total[group, at] and share[group, at] > others[at]
        ]
        chosen.append(_apart([str(names[at]) for at in able]))
    return chosen


def _apart(words: Sequence[str]) -> tuple[str, ...]:
    """The first ``MOST_WORDS`` of ``words`` that do not repeat a word of an earlier one."""
    taken: list[str] = []
    for word in words:
        if not {*word.split()} & {part for one in taken for part in one.split()}:
            taken.append(word)
        if len(taken) == MOST_WORDS:
            break
    return tuple(taken)
