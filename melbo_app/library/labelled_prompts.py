"""Prompts that come in to be watched, some with a label that says whether they are anomalous."""

from dataclasses import dataclass
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.prompt_sets import PromptSets, check_letters, content_of, is_jsonl, json_line, numbered_lines
from melbo_app.limits import MOST_PROMPTS

LABELS: dict[Any, bool] = {0: False, 1: True, "clean": False, "anomalous": True}
_LINES = 'Write one prompt per line, or JSONL such as {"text": "…", "label": 1}'
_LABELS = 'Write 0 or "clean", 1 or "anomalous"'


@dataclass(frozen=True)
class LabelledPrompt:
    """A prompt, and whether it is ``anomalous``; None: nobody says."""

    text: str
    anomalous: bool | None = None


def labelled_prompts(sets: PromptSets, given: str, field: str) -> list[LabelledPrompt]:
    """The prompts of a shipped set or a file in order, those that repeat included.

    Raises:
        InputError: naming the invalid line; also if only some lines have a label.
    """
    path, shown = sets.place(given, field)
    return parse_labelled(content_of(path, shown, field), shown, field, jsonl=is_jsonl(path))


def parse_labelled(data: bytes, shown: str, field: str, *, jsonl: bool | None = None) -> list[LabelledPrompt]:
    """The same for the content of a file, which messages call ``shown``; ``jsonl``: whether lines are JSON objects for
    certain."""
    lines = numbered_lines(data, shown, field, _LINES)
    jsonl = jsonl or starts_json(lines[0][1])
    found = [labelled_line(line, f"line {number} of {shown}", field, jsonl) for number, line in lines]
    if len(found) > MOST_PROMPTS:
        raise InputError(field, f"{shown} has {len(found):,} prompts", f"Use at most {MOST_PROMPTS:,}")
    without = next((number for (number, _), one in zip(lines, found, strict=True) if one.anomalous is None), None)
    if without is not None and any(one.anomalous is not None for one in found):
        raise InputError(field, f"line {without} of {shown} has no “label”, but other lines have one", _LABELS)
    return found


def starts_json(line: str) -> bool:
    """Whether the first line of a file or stream is a JSON object, and so all of them."""
    return line.lstrip().startswith("{")


def labelled_line(line: str, where: str, field: str, jsonl: bool) -> LabelledPrompt:
    """The prompt on a line. Raises InputError."""
    fields = json_line(line, where, field, _LINES) if jsonl else {"text": line.strip()}
    text = fields.get("text", fields.get("prompt"))  # sets of prompts have the latter
    if not isinstance(text, str) or not text.strip():
        problem = "has no “text”" if text is None else "has a “text” that is empty or not a string"
        raise InputError(field, f"{where} {problem}", _LINES)
    check_letters(text, where, field)
    label = fields.get("label")
    if label is None:
        return LabelledPrompt(text)
    if not isinstance(label, int | str) or label not in LABELS:
        raise InputError(field, f"{where} has a “label” that is not known", _LABELS)
    return LabelledPrompt(text, LABELS[label])
