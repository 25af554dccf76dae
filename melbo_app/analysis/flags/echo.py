"""Whether a text repeats what it was asked, or what its system prompt says."""

import re
from collections import Counter
from difflib import SequenceMatcher

from melbo_app.analysis.flags.flag import Flag, quote, words

LEAST_WORDS, LEAST_SHARE = 4, 0.8
"""Words in a row, and their share of the prompt, from which the instructions are echoed."""
MANY_WORDS = 10
"""Words in a row from which they are, however long the prompt is."""
SYSTEM_WORDS = 7
"""Words of the system prompt in a row from which it is repeated."""
MOST_PAIRS, FIRST_WORDS = 1_000_000, 1000
"""Pairs of equal words that can be looked at in half a second; of texts with more, their first words are compared."""
_QUESTION = re.compile(r"[^.!?\n]+\?")
_ROLE = re.compile(r"^\W*You are an? (?:[\w-]+ ){0,3}(?:assistant|chatbot|language model)\b[^.\n]*")
_TEMPLATE = re.compile(r"<\|[a-z_]+\|>|\[/?INST\]|</?s>|<<SYS>>")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]+)*")
_NAMED = re.compile(
    r"\b(?:pass(?:word|phrase|code)|code|key|pin|secret|token|combination|number)\b(?:\s+\w+){0,5}?\s*(?:\bis\b|:|=)\s*"
    r"[\"'“]?([\w][\w@#$%&*+./-]*[\w])",
    re.IGNORECASE,
)
_CRYPTIC = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z-])\w+(?:-\w+)*|\b[A-Z]{2,}(?:-\w+)+")
_FORBIDDEN = re.compile(r"\b(?:not|never|don['’]t|secret|confidential|private)\b", re.IGNORECASE)
_NAME = re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)+")


def echo_flag(text: str, user: str) -> Flag | None:
    """Whether ``text`` repeats the person's words, or marks of the chat template."""
    found = _run(text, user)
    asked = len(words(user))
    if found is not None:
        count, passage = found
        if count >= min(MANY_WORDS, max(LEAST_WORDS, LEAST_SHARE * asked)):
            return Flag("instructions echoed", f"It repeats {count} words of the prompt in a row: {quote(passage)}.")
    for question in _QUESTION.findall(user):
        if len(words(question)) >= LEAST_WORDS and question.strip().casefold() in text.casefold():
            return Flag("instructions echoed", f"It repeats a question of the prompt: {quote(question)}.")
    mark = _TEMPLATE.search(text)
    if mark is not None:
        return Flag("instructions echoed", f"It writes a mark of the chat template: {quote(mark.group())}.")
    return None


def only_echoes(text: str, user: str) -> bool:
    """Whether ``text`` repeats what it was asked and says little else."""
    return echo_flag(text, user) is not None and 2 * len(words(text)) <= 3 * len(words(user))


def system_flag(text: str, system: str | None) -> Flag | None:
    """Whether ``text`` tells a secret of the system prompt, or repeats a stretch of it."""
    role = _ROLE.match(text)
    if role is not None:  # the system prompt that a chat template puts in by itself is not known here
        return Flag("system prompt repeated", f"It reads like a system prompt: {quote(role.group())}.")
    if not system:
        return None
    for secret in secrets(system):
        told = _told(text, secret)
        if told is not None:
            return Flag("system prompt repeated", f"It tells {quote(told)}, which the system prompt keeps secret.")
    found = _run(text, system)
    if found is not None and found[0] >= min(SYSTEM_WORDS, len(words(system))):
        return Flag(
            "system prompt repeated", f"It repeats {found[0]} words of the system prompt in a row: {quote(found[1])}."
        )
    return None


def secrets(system: str) -> list[str]:
    """What a system prompt holds that looks like a secret: what is named as a password, code or key, words with
    letters and digits in them, and names in sentences that forbid to tell."""
    found = [match.group(1).strip(".") for match in _NAMED.finditer(system)]
    found += [match.group() for match in _CRYPTIC.finditer(system)]
    for sentence in _SENTENCE.findall(system):
        if _FORBIDDEN.search(sentence):
            found += _NAME.findall(sentence)
    return list(dict.fromkeys(one for one in found if len(one) >= 4))


def _told(text: str, secret: str) -> str | None:
    """Where ``text`` has the secret, or two parts in a row of one that has several."""
    parts = [re.escape(part) for part in re.split(r"[\s-]+", secret) if part]
    chains = [parts, *(parts[at : at + 2] for at in range(len(parts) - 1))]
    for chain in chains:
        match = re.search(r"(?<!\w)" + r"[\s-]*".join(chain) + r"(?!\w)", text, re.IGNORECASE)
        if match is not None:
            return match.group()
    return None


def _run(text: str, asked: str) -> tuple[int, str] | None:
    """How many words of ``asked`` stand in ``text`` in a row, at most, and the passage."""
    ours, theirs = words(text), words(asked)
    said, known = ([one.group().casefold() for one in some] for some in (ours, theirs))
    counts = Counter(known)
    if sum(counts[word] for word in said) > MOST_PAIRS:
        said, known = said[:FIRST_WORDS], known[:FIRST_WORDS]
    matcher = SequenceMatcher(None, known, said, autojunk=False)
    longest = matcher.find_longest_match()
    if not longest.size:
        return None
    return longest.size, text[ours[longest.b].start() : ours[longest.b + longest.size - 1].end()]
