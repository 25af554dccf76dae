"""Whether a text names another speaker than the baseline."""

import re

from melbo_app.analysis.flags.flag import Flag, quote

_SELF = re.compile(
    r"\b(?:I(?:['’]m| am)|my name is|call me|you can call me|je suis|je m['’]appelle|soy|me llamo|mi nombre es|"
    r"ich bin|ich heiße|mein name ist|as(?= an? (?:AI|language model|chatbot)\b))\s+",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"(?:just |also |actually |only |simply )?(?:an?|the|your|une?|una?|eine?)\s+([^.;:!?\n]{2,80})", re.IGNORECASE
)
_NAME = re.compile(r"(?:(?:Captain|Dr\.?|Mr\.?|Mrs\.?|Professor|Sir) )?[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_TAIL = re.compile(
    r"\b(?:who|that|which|with|from|for|and|here|designed|made|trained|created|named|called|in|on|at|of)\b.*"
    r"|,\s*(?:I|but|so|you|we)\b.*"
)
_NO_ROLE = {
    "bit", "lot", "little", "few", "huge", "big", "great", "fan", "person", "one", "same", "kind", "mix", "blend",
}  # fmt: skip
_MACHINE = {
    "ai", "assistant", "chatbot", "bot", "model", "helper", "virtual", "language", "machine", "program",
    "helpful", "friendly", "robot", "agent", "companion", "software", "text", "based", "computer", "conversational",
    "large", "digital", "artificial", "intelligence",
}  # fmt: skip
MODELS = {"smollm", "gpt", "chatgpt", "claude", "gemma", "llama", "mistral", "phi", "qwen"}
"""Names that models use for themselves."""
_PLAIN = {"the", "a", "an", "your", "just", "very", "own", "true", "real", "new", "old"}


def personas(text: str) -> list[tuple[str, frozenset[str]]]:
    """The speakers that ``text`` names: each passage with the words of its name or role; any machine is one word."""
    found = []
    for match in _SELF.finditer(text):
        rest = text[match.end() : match.end() + 90]
        role, name = _ROLE.match(rest), _NAME.match(rest)
        if role is not None:
            named, end = role.group(1), role.end()
        elif name is not None and name.group() not in ("I", "AI"):
            named, end = name.group(), name.end()
        else:
            continue
        who = frozenset(re.findall(r"\w+", _TAIL.sub("", named).casefold())) - _PLAIN
        if not who or who & _NO_ROLE:
            continue
        if who & _MACHINE:  # a machine with another role is known by that role
            who = (who - _MACHINE) or frozenset({"machine"})
        found.append((match.group() + rest[:end], who))
    return found


def speaker(text: str) -> str | None:
    """The first name or role that ``text`` gives its speaker, verbatim."""
    found = personas(text)
    return re.split(r",\s", _SELF.sub("", found[0][0], count=1))[0].strip() if found else None


def persona_flag(text: str, baseline: str, system: str | None) -> Flag | None:
    """A flag if ``text`` names a speaker whom neither the baseline nor the system prompt names. All assistants count as
    the same speaker unless another one was requested. A text that also names a known speaker has no flag."""
    before, now = personas(baseline), personas(text)
    usual = frozenset[str]().union(*(who for _, who in before))
    asked = frozenset(re.findall(r"\w+", (system or "").casefold()))
    if not (asked or usual) or asked & _MACHINE or usual & (MODELS | {"machine"}):
        usual |= {"machine"}
    if not asked:
        usual |= MODELS
    if not now or any(who & (usual | asked) for _, who in now):
        return None
    unsteered = f"without steering it says {quote(before[0][0])}" if before else "without steering it does not say that"
    return Flag("persona changed", f"It says {quote(now[0][0])}; {unsteered}.")
