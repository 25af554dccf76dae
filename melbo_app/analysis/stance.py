"""The stance of a text: yes or no, for or against an act, right or wrong.

Sentence embeddings hardly distinguish "tell them" from "do not tell them". These rules read English, and "yes" and "no"
in some other languages.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

ANSWER = "the question"
"""The key of the answer to the prompt's yes-or-no question."""

# each pair has the words for an act or a quality, and those for its opposite
_ACTS = (
    ("tell inform mention admit disclose reveal confess report acknowledge own share discuss talk speak honest clean "
     "transparent upfront",
     "hide conceal lie cover deny secret quiet silent yourself dishonest"),
    ("stay remain", "leave quit resign"),
    ("accept agree", "decline refuse reject disagree"),
    ("trust believe", "distrust doubt"),
)  # fmt: skip
_QUALITIES = (
    ("right ethical moral acceptable okay ok fine", "wrong unethical immoral unacceptable"),
    ("safe harmless", "unsafe dangerous risky harmful"),
    ("legal lawful allowed permitted", "illegal unlawful forbidden prohibited"),
    ("true correct", "false incorrect untrue"),
    ("good healthy beneficial", "bad unhealthy"),
    ("possible", "impossible"),
    ("necessary", "unnecessary"),
)
_YES = {"yes", "yeah", "yep", "absolutely", "definitely", "certainly", "sí", "oui", "ja", "да", "是", "是的"}
_NO = {"no", "nope", "non", "nein", "нет", "不", "不是", "不应该", "不可以"}
_NEGATIONS = {"not", "never", "no", "nothing", "hardly"}
_ENCOURAGING = {"hesitate", "afraid", "forget", "fail", "shy"}  # "do not hesitate to" advises to do it
_FOR = {
    "should", "must", "ought", "need", "have", "better", "best", "important", "essential", "crucial", "necessary",
    "advisable", "recommend", "recommended", "advise", "suggest", "wise", "appropriate", "idea", "sure", "try",
    "consider",
}  # fmt: skip
_AGAINST = {"avoid", "refrain", "instead", "rather", "without", "against"}
_BETWEEN = {
    "to", "you", "that", "for", "from", "of", "than", "be", "do", "a", "an", "always", "ever", "just", "simply",
    "directly", "immediately", "only", "really", "first", "definitely", "also", "still", "then", "please", "and",
    "so", "come", "keep", "remain", "it", "this", "up", "try", "consider", "going", "good", "very", "your", "the",
    "being", "keeping", "coming",
}  # fmt: skip
_DEGREES = {
    "a", "an", "necessarily", "inherently", "always", "morally", "completely", "generally", "ethically", "perfectly",
    "really", "very", "considered", "quite", "absolutely", "usually", "totally", "actually", "with", "good", "be",
}  # fmt: skip
_UNREAL = {"if", "whether", "unless", "why", "how", "what", "who", "which", "because"}  # not followed by advice
_BE = {"is", "are", "was", "were", "be"}
_MODALS = {"should", "shall", "must", "can", "could", "may", "would"}
_ASKING = _MODALS | _BE | {"will", "do", "does", "did", "has", "have", "am"}
_PRONOUNS = {"i", "we", "you", "one", "people", "he", "she", "they"}
_SENTENCE = re.compile(r"[^.!?\n;:]+[.!?]?")
_CLAUSE = re.compile(r",|\bbut\b|[–—]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SHORT = {"n't": " not", "'s": " is", "'re": " are", "'d": " would", "cannot": "can not"}


class _Asked(NamedTuple):
    """The topic of a yes-or-no question: the key of its act or quality, and the side that a yes takes."""

    key: str
    side: int


@lru_cache(maxsize=2048)
def stance(text: str, user: str) -> Mapping[str, int]:
    """The acts and qualities that ``text``, an answer to the prompt ``user``, is for (1) or against (−1).

    Keys are stems of acts and qualities, and ``ANSWER`` for the prompt's yes-or-no question. Omits those on which the
    text takes both sides.
    """
    asked = _asked(user)
    sides: dict[str, set[int]] = {}
    for key, side in _claims(text, asked):
        if asked is not None and key == asked.key:
            key, side = ANSWER, side * asked.side
        sides.setdefault(key, set()).add(side)
    lead = _lead(text) if asked is not None else None
    if lead is not None:
        sides[ANSWER] = {lead}
    return MappingProxyType({key: next(iter(both)) for key, both in sides.items() if len(both) == 1})


def opposed(one: Mapping[str, int], other: Mapping[str, int]) -> str | None:
    """The first key on which two stances disagree, or None."""
    return next((key for key, side in one.items() if other.get(key) == -side), None)


def question(user: str) -> str | None:
    """The last clause of ``user`` that asks a yes-or-no question, or None."""
    found = None
    for sentence in _SENTENCE.findall(user):
        if sentence.endswith("?"):
            for clause in _CLAUSE.split(sentence):
                words = _words(clause)
                if words and words[0] in _ASKING:
                    found = clause.strip()
    return found


def asked_act(user: str) -> str | None:
    """The act of a yes-or-no question ("Should I tell …?": tell), or of a stance's key."""
    for one, _ in _ACTS:
        if user == _stem(one.split()[0]):
            return one.split()[0]
    words = [word for word in _words(question(user) or "") if word != "not"]
    return words[2] if len(words) > 2 and words[0] in _MODALS and words[1] in _PRONOUNS else None


def asked_quality(user: str) -> str | None:
    """The quality of a yes-or-no question ("Is it wrong to …?": wrong)."""
    words = _words(question(user) or "")
    return next((word for word in words[1:] if words[0] in _BE and _known(word, _QUALITIES)), None)


def _asked(user: str) -> _Asked | None:
    clause = question(user)
    if clause is None:
        return None
    act, quality = asked_act(user), asked_quality(user)
    if act is not None:
        return _Asked(*(_known(act, _ACTS) or (_stem(act), 1)))
    if quality is not None:
        return _Asked(*(_known(quality, _QUALITIES) or (quality, 1)))
    return _Asked("", 1)


def _lead(text: str) -> int | None:
    """The side of a text that begins with yes or no."""
    words = _words(text[:60])
    if not words:
        return None
    if words[0] in _NO or (words[0] in _YES and words[1:2] == ["not"]):
        return -1
    return 1 if words[0] in _YES else None


def _claims(text: str, asked: _Asked | None) -> Iterator[tuple[str, int]]:
    for sentence in _SENTENCE.findall(text):
        if sentence.endswith("?"):
            continue
        for clause in _CLAUSE.split(sentence):
            words = _words(clause)
            while words and (words[0].isdigit() or words[0] in ("and", "so", "then", "please")):
                words = words[1:]
            if not words or words[0] in _UNREAL:
                continue  # "if you tell them, …": the clause after the comma is a claim again
            for at, word in enumerate(words):
                if word in _UNREAL:
                    break
                if at == 0:
                    yield from _advice(words, -1, 1, asked, imperative=True)
                if word in _FOR | _AGAINST:
                    yield from _advice(words, at, -1 if word in _AGAINST else 1, asked, imperative=False)
                if word in _BE:
                    yield from _quality(words, at)


def _advice(
    words: list[str], at: int, side: int, asked: _Asked | None, *, imperative: bool
) -> Iterator[tuple[str, int]]:
    """The act advised after the word at ``at``, and the side; imperatives only of known acts."""
    back = at - 1
    while back >= 0 and words[back] in _BETWEEN | _NEGATIONS | _BE | {"would", "can"}:
        side *= -1 if words[back] in _NEGATIONS else 1
        back -= 1
    for place, word in enumerate(words[at + 1 :], at + 1):
        if word in _NEGATIONS | _ENCOURAGING:
            side *= -1
        elif word in _FOR | _AGAINST:
            return  # that word gets its own call
        elif word not in _BETWEEN or _known(word, _ACTS):
            after = words[place + 1] if place + 1 < len(words) else ""
            quiet = _known(after, _ACTS) if word in ("stay", "remain") else None  # "stay quiet" means to be quiet
            known = quiet or _known(word, _ACTS)
            key, meant = known or (_stem(word), 1)
            if known or not imperative or (asked is not None and key == asked.key):
                yield key, side * meant
            return


def _quality(words: list[str], at: int) -> Iterator[tuple[str, int]]:
    side = -1 if words[at - 1 : at] == ["nothing"] else 1
    for word in words[at + 1 :]:
        known = _known(word, _QUALITIES)
        if word in _NEGATIONS:
            side *= -1
        elif known is not None and not (word in _DEGREES and words[-1] != word):
            yield known[0], side * known[1]
            return
        elif word not in _DEGREES:
            return


def _known(word: str, pairs: tuple[tuple[str, str], ...]) -> tuple[str, int] | None:
    """The key of a word in ``pairs``, and its side."""
    stem = _stem(word)
    for one, other in pairs:
        key = _stem(one.split()[0])
        if stem in map(_stem, one.split()):
            return key, 1
        if stem in map(_stem, other.split()):
            return key, -1
    return None


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """A stem shared by tell, tells and telling, by hide and hiding, by admit and admitting."""
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
    elif len(word) > 4 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return re.sub(r"(.)\1$", r"\1", word).removesuffix("e")


def _words(text: str) -> list[str]:
    flat = text.casefold().replace("’", "'")
    for short, full in _SHORT.items():
        flat = re.sub(rf"{short}\b", full, flat)
    flat = flat.replace("ca not", "can not").replace("wo not", "will not")
    return _WORD.findall(flat)
