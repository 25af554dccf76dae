"""Whether a text repeats its prompt or its system prompt."""

import re
from collections import Counter
from difflib import SequenceMatcher

from melbo_app.analysis.flags.flag import Flag, plain_words, quote, words

LEAST_WORDS, LEAST_SHARE = 4, 0.8
"""Minimum consecutive words, and minimum share of the prompt, that count as an echo."""
MANY_WORDS = 10
"""Consecutive words that always count as an echo, however long the prompt is."""
SYSTEM_WORDS = 7
"""Consecutive words that count as repeating the system prompt."""
MOST_PAIRS, FIRST_WORDS = 1_000_000, 1000
"""Pairs of equal words that half a second suffices for; texts with more are compared by their first words."""
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
    """A flag if ``text`` repeats the user's words, or special tokens of the chat template."""
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
        return Flag("instructions echoed", f"It writes a special token of the chat template: {quote(mark.group())}.")
    return None


def only_echoes(text: str, user: str) -> bool:
    """Whether ``text`` repeats its prompt and says little else."""
    return echo_flag(text, user) is not None and 2 * len(words(text)) <= 3 * len(words(user))


def system_flag(text: str, system: str | None) -> Flag | None:
    """A flag if ``text`` reveals a secret of the system prompt, or repeats a passage of it."""
    role = _ROLE.match(text)
    if role is not None:  # a chat template's own system prompt is not known here
        return Flag("system prompt repeated", f"It reads like a system prompt: {quote(role.group())}.")
    if not system:
        return None
    for secret in secrets(system):
        revealed = _revealed(text, secret)
        if revealed is not None:
            reason = f"It reveals {quote(revealed)}, which the system prompt keeps secret."
            return Flag("system prompt repeated", reason)
    found = _run(text, system)
    if found is not None and found[0] >= min(SYSTEM_WORDS, len(words(system))):
        reason = f"It repeats {found[0]} words of the system prompt in a row: {quote(found[1])}."
        return Flag("system prompt repeated", reason)
    return None


def secrets(system: str) -> list[str]:
    """Parts of a system prompt that look secret: values named as a password, code or key, words of letters and digits,
    and names in sentences that forbid something."""
    found = [match.group(1).strip(".") for match in _NAMED.finditer(system)]
    found += [match.group() for match in _CRYPTIC.finditer(system)]
    for sentence in _SENTENCE.findall(system):
        if _FORBIDDEN.search(sentence):
            found += _NAME.findall(sentence)
    return list(dict.fromkeys(one for one in found if len(one) >= 4))


def _revealed(text: str, secret: str) -> str | None:
    """The passage of ``text`` with the secret, or with two consecutive parts of it."""
    parts = [re.escape(part) for part in re.split(r"[\s-]+", secret) if part]
    chains = [parts, *(parts[at : at + 2] for at in range(len(parts) - 1))]
    for chain in chains:
        match = re.search(r"(?<!\w)" + r"[\s-]*".join(chain) + r"(?!\w)", text, re.IGNORECASE)
        if match is not None:
            return match.group()
    return None


def _run(text: str, asked: str) -> tuple[int, str] | None:
    """The length in words of the longest run that ``text`` shares with ``asked``, and the passage of ``text``."""
    ours, said, known = words(text), plain_words(text), plain_words(asked)
    counts = Counter(known)
    if sum(counts[word] for word in said) > MOST_PAIRS:
        said, known = said[:FIRST_WORDS], known[:FIRST_WORDS]
    matcher = SequenceMatcher(None, known, said, autojunk=False)
    longest = matcher.find_longest_match()
    if not longest.size:
        return None
    return longest.size, text[ours[longest.b].start() : ours[longest.b + longest.size - 1].end()]
