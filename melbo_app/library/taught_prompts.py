"""Prompts to be answered as before, and answers to be unlearned: the input of a hardening, one a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.prompt_sets import PromptSets, check_letters, content_of, json_line, numbered_lines
from melbo_app.limits import MOST_PROMPTS

KEEP, AVOID = "keep", "avoid"
LONGEST = 20_000
"""Characters of a prompt or an answer."""
_FORMS = {
    KEEP: 'Write a prompt a line, or JSONL such as {"prompt": "…", "answer": "…"}',
    AVOID: 'Write an answer a line, or JSONL such as {"answer": "…", "prompt": "…", "instead": "…"}',
}


@dataclass(frozen=True)
class KeptPrompt:
    """A prompt, and what is answered to it; None: what the model answers."""

    prompt: str
    answer: str | None = None


@dataclass(frozen=True)
class AvoidedAnswer:
    """An answer to be unlearned, the prompt that it is given to (None: not known), and the right one to that prompt
    (None: not known)."""

    answer: str
    prompt: str | None = None
    instead: str | None = None


def file_lines(sets: PromptSets, given: str, field: str) -> list[str]:
    """The lines of a file, or of a set that ships. Raises InputError."""
    path, shown = sets.place(given, field)
    return [line for _, line in numbered_lines(content_of(path, shown, field), shown, field, _FORMS[field])]


def kept_prompts(lines: Sequence[str]) -> list[KeptPrompt]:
    """The prompts on these lines, each once. Raises InputError, which names the line."""
    found: dict[str, KeptPrompt] = {}
    for where, fields in _lines(lines, KEEP, "prompt"):
        prompt = _text(fields, ("prompt", "text"), where, KEEP, needed=True)
        found.setdefault(prompt or "", KeptPrompt(prompt or "", _text(fields, ("answer",), where, KEEP)))
    return [*found.values()]


def avoided_answers(lines: Sequence[str]) -> list[AvoidedAnswer]:
    """The answers on these lines. Raises InputError, which names the line."""
    found = []
    for where, fields in _lines(lines, AVOID, "answer"):
        answer = _text(fields, ("answer",), where, AVOID, needed=True)
        prompt, instead = (_text(fields, (name,), where, AVOID) for name in ("prompt", "instead"))
        if instead is not None and prompt is None:
            raise InputError(AVOID, f"{where} has “instead” without the “prompt” that it answers", _FORMS[AVOID])
        found.append(AvoidedAnswer(answer or "", prompt, instead))
    return found


def _lines(lines: Sequence[str], field: str, plain: str) -> list[tuple[str, dict[str, Any]]]:
    if len(lines) > MOST_PROMPTS:
        raise InputError(field, f"there are {len(lines):,} lines", f"Use at most {MOST_PROMPTS:,}")
    found = []
    for number, line in enumerate(lines, start=1):
        where = f"line {number} of {field}"
        is_json = line.lstrip().startswith("{")
        found.append((where, json_line(line, where, field, _FORMS[field]) if is_json else {plain: line.strip()}))
    return found


def _text(fields: dict[str, Any], names: Sequence[str], where: str, field: str, *, needed: bool = False) -> str | None:
    name = next((one for one in names if fields.get(one) is not None), names[0])
    text = fields.get(name)
    if text is None and not needed:
        return None
    if not isinstance(text, str) or not text.strip():
        problem = f"has a “{name}” that is empty or not a string" if name in fields else f"has no “{name}”"
        raise InputError(field, f"{where} {problem}", _FORMS[field])
    if len(text) > LONGEST:
        raise InputError(field, f"{where} has a “{name}” of {len(text):,} characters", f"Use at most {LONGEST:,}")
    check_letters(text, where, field)
    return text
