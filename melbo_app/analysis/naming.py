"""Names of behaviours: a few words in the third person for what an answer does differently from the unsteered one."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from melbo_app.analysis.distinctive import distinctive_phrase
from melbo_app.analysis.flags.arithmetic import answer, is_arithmetic
from melbo_app.analysis.flags.flag import plain_words
from melbo_app.analysis.flags.persona import speaker
from melbo_app.analysis.stance import ANSWER, asked_act, asked_quality, opposed
from melbo_app.analysis.traits import Traits, differences

LONGEST_PHRASE = 60
OPENING = 10
"""Words quoted from an answer without a distinctive phrase."""
_LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "la": "Latin", "nl": "Dutch",
    "no": "Norwegian", "nb": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_FENCED = re.compile(r"```\s*([A-Za-z+#]+)")
_CODES = {
    "python": "Python", "py": "Python", "javascript": "JavaScript", "js": "JavaScript", "java": "Java", "bash": "Bash",
    "sh": "a shell script", "sql": "SQL", "html": "HTML", "css": "CSS", "json": "JSON", "xml": "XML", "c": "C",
    "cpp": "C++", "c++": "C++", "rust": "Rust", "go": "Go", "typescript": "TypeScript", "ruby": "Ruby", "php": "PHP",
}  # fmt: skip
_PYTHON = re.compile(r"^\s*(?:def \w+\(.*\):|import \w+|from \w+ import|print\()", re.MULTILINE)
_LIST = re.compile(r"^\s*(?:1[.)]|[-*•])\s", re.MULTILINE)
_INLINE_LIST = re.compile(r":\s+1[.)](?:\s|$)")
_CALCULATION = re.compile(r"\d[\d\s.+*/×÷()−–-]*=\s*-?\d[\d.,]*(?<![.,])")
_STEPS = re.compile(r"\bsteps?\b|^\W*first\b[\s\S]*\b(?:then|next|second|after that)\b", re.IGNORECASE)

_WARNING = re.compile(
    r"\b(?:illegal|unethical|immoral|not recommended|violat\w+|against the (?:law|rules))\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Group:
    """Answers with one name: their texts, the representative ``text``, and its traits."""

    text: str
    texts: Sequence[str]
    traits: Traits


def behaviour_names(
    groups: Sequence[Group], unsteered: Group, random: Sequence[str], user: str, given: Sequence[str] = ()
) -> list[str]:
    """A unique name for each group of answers to the prompt ``user``.

    A name states the group's difference from the ``unsteered`` answer: refusal, code, language, speaker, number, advice
    or form. Groups that share a name, or have no such difference, add a quotation that neither another group nor a
    ``random`` vector's answer contains. ``given`` has a judge's names, "" where it gave none.
    """
    stems = [_stem(one, unsteered, user) for one in groups]
    named = [list(given)[at] if at < len(given) else "" for at in range(len(groups))]
    wanted = [name or stem for name, stem in zip(named, stems, strict=True)]
    often = Counter(wanted)
    found: list[str] = []
    for at, one in enumerate(groups):
        name = wanted[at]
        if often[name] > 1 or name in _BARE:
            others = [text for other in (*groups, unsteered) if other is not one for text in other.texts]
            name += f"{'' if name == _SAYS else ':'} “{_phrase(one, others, random, user)}”"
        found.append(name)
    return [name if found.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(found)]


_GONE, _WARNS = "answers instead of refusing", "warns instead of refusing"
_REWORDED, _SAYS = "refuses in other words", "says"
_BARE = {_GONE, _WARNS, _REWORDED, _SAYS}
"""Names that say too little without a phrase."""


def _stem(one: Group, unsteered: Group, user: str) -> str:
    """The name without a quotation."""
    if one.traits.refuses:
        return _REWORDED if unsteered.traits.refuses else "refuses"
    instead = next(_instead(one, unsteered, user), None)
    if not unsteered.traits.refuses:
        return instead or _SAYS
    if instead:
        return f"{instead.removesuffix(' instead')} instead of refusing"
    return _WARNS if _WARNING.search(one.text) else _GONE


def _instead(one: Group, unsteered: Group, user: str) -> Iterator[str]:
    """The differences of an answer from the unsteered one in words, the most telling first."""
    traits, flags, apart = one.traits, one.traits.flags, differences(one.traits, unsteered.traits)
    if traits.code is True and unsteered.traits.code is not True:
        tag = _FENCED.search(one.text)
        bare = "Python" if _PYTHON.search(one.text) else "code"
        yield f"writes {_CODES.get(tag.group(1).lower(), 'code') if tag else bare} instead"
    elif "code" in apart:
        yield "writes prose instead of code"
    if "language" in apart:
        yield f"answers in {_LANGUAGES.get(traits.language or '', 'another language')}"
    elif "language changed" in flags:
        yield "mixes languages"
    if ("persona changed" in flags or "speaker" in apart) and (who := speaker(one.text)):
        yield f"speaks as {_shorter(who)}"
    if "number" in apart or "answer changed" in flags:
        stated = answer(one.text, user) if is_arithmetic(user) else None
        if stated is not None:
            calculation = _CALCULATION.search(stated[1])
            yield f"says {' '.join((calculation.group() if calculation else stated[0]).split())}"
        elif traits.number is not None:
            yield f"says {traits.number:g}"
    key = opposed(traits.stance, unsteered.traits.stance)
    if key is not None and (advice := _advice(key, traits.stance[key] < 0, user)):
        yield advice
    if "system prompt repeated" in flags:
        yield "repeats the system prompt"
    elif "instructions echoed" in flags:
        yield "repeats the prompt"
    if one.text.rstrip(' *"”').endswith("?") and "?" not in unsteered.text:
        last = set(plain_words(re.split(r"[.!?:\n]", one.text.rstrip('? *"”'))[-1]))
        yield "repeats the question" if len(last & set(plain_words(user))) >= 0.7 * len(last) else "asks back"
    elif _is_list(one.text) and 2 * sum(map(_is_list, one.texts)) > len(one.texts) and not _is_list(unsteered.text):
        yield "answers step by step" if _STEPS.search(one.text) else "answers with a list"


def _advice(key: str, against: bool, user: str) -> str | None:
    """The advice for or ``against`` the act or quality ``key`` of a stance."""
    act, quality = asked_act(user), asked_quality(user)
    if key != ANSWER or act:
        act = act if key == ANSWER else asked_act(key)
        return None if not act else f"advises not to {act}" if against else f"says to {act}"
    if quality:
        return f"says it is {'not ' * against}{quality}"
    return "says no" if against else "says yes"


def _is_list(text: str) -> bool:
    return bool(_LIST.search(text) or _INLINE_LIST.search(text))


def _phrase(one: Group, others: Sequence[str], random: Sequence[str], user: str) -> str:
    """A phrase that no other answer has; else one that random vectors' answers may have; else the first words."""
    for rivals in ((*others, *random), others):
        found = distinctive_phrase(one.text, one.texts, rivals, user)
        if found is not None:
            return _shorter(found)
    opening = one.text.split()
    return _shorter(" ".join(opening[:OPENING]) + "…" * (len(opening) > OPENING))


def _shorter(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_PHRASE else flat[:LONGEST_PHRASE].rsplit(" ", 1)[0] + "…"
