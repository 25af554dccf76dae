"""What is distinctive about a group of texts, in words.

Class-based TF-IDF (Grootendorst 2022, BERTopic: Neural topic modeling with a class-based TF-IDF procedure): how often
a group uses a word, times log(1 + A / f), with A the mean number of words in a group and f how often all groups use it.
"""

from collections.abc import Sequence

import numpy as np

MOST_WORDS = 4
_WORD = r"(?u)\b\w[\w'’]+\b"


def distinctive_words(groups: Sequence[Sequence[str]], count: int = MOST_WORDS) -> list[tuple[str, ...]]:
    """For each group of texts the words and pairs of words that set it apart from the others, the strongest first.

    A word that another group uses as large a share of its texts for is not distinctive. Function words of English are
    left out unless nothing else is left. A group without words, or without others that differ, gets none.
    """
    found = _words(groups, count, "english")
    plain = _words(groups, count, None) if not all(found) else found
    return [one or other for one, other in zip(found, plain, strict=True)]


def _words(groups: Sequence[Sequence[str]], count: int, stop_words: str | None) -> list[tuple[str, ...]]:
    from sklearn.feature_extraction.text import CountVectorizer  # takes a second to import

    reader = CountVectorizer(ngram_range=(1, 2), token_pattern=_WORD, stop_words=stop_words)
    texts = [text for group in groups for text in group]
    try:
        counts = reader.fit_transform(texts).toarray()
    except ValueError:  # there is no word in them
        return [() for _ in groups]
    names, of = reader.get_feature_names_out(), np.repeat(range(len(groups)), [len(group) for group in groups])
    total = np.array([counts[of == group].sum(axis=0) for group in range(len(groups))], dtype=np.float64)
    share = np.array(
        [(counts[of == group] > 0).sum(axis=0) / max(1, (of == group).sum()) for group in range(len(groups))]
    )
    lengths = total.sum(axis=1)
    weight = np.log1p(total) * np.log1p(lengths.mean() / np.maximum(total.sum(axis=0), 1))
    chosen = []
    for group in range(len(groups)):
        others = np.delete(share, group, axis=0).max(axis=0, initial=0.0)
        able = [
            at for at in np.argsort(-weight[group], kind="stable") if total[group, at] and share[group, at] > others[at]
        ]
        chosen.append(_apart([str(names[at]) for at in able], count))
    return chosen


def _apart(words: Sequence[str], count: int) -> tuple[str, ...]:
    """The first ``count`` of them that do not repeat a word of an earlier one."""
    taken: list[str] = []
    for word in words:
        if not {*word.split()} & {part for one in taken for part in one.split()}:
            taken.append(word)
        if len(taken) == count:
            break
    return tuple(taken)
