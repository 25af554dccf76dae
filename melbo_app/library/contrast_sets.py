"""Contrast sets: prompts with two answers each, and what differs between them; those that ship, and people's own."""

from pathlib import Path
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Text
from melbo_app.library.frozen import Frozen
from melbo_app.library.prompt_sets import (
    LONGEST_GROUP,
    MOST_PROMPTS,
    check_letters,
    content_of,
    is_jsonl,
    json_line,
    numbered_lines,
)
from melbo_app.paths import written_path

CONTRAST = ("yes-no", "yes-no-captain", "yes-no-german", "caution", "caution-captain", "caution-reworded")
"""The sets that ship. Those whose names begin alike have the same ids: the longer ones are another setting."""
FIELD = "prompts"
LINES = 'Write one prompt per line, or JSONL such as {"prompt": "…", "first": "Yes", "second": "No", "group": "…"}'
FACTORS = ("position", "wording", "system", "group")
"""What may differ between inputs beside what they ask."""


class ContrastInput(Frozen):
    """A prompt, perhaps with two answers; ``position`` says which of them it names first, ``wording`` how it asks, and
    inputs with the same ``id`` ask the same."""

    prompt: PromptRecord
    first: Text | None = None
    second: Text | None = None
    group: Text = ""
    position: Text | None = None
    wording: Text | None = None
    id: Text | None = None


class Setting(Frozen):
    """The inputs of one file."""

    name: Text
    inputs: tuple[ContrastInput, ...]


class ContrastSets:
    """The sets in ``folder``, one JSONL file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, given: str, field: str = FIELD) -> Setting:
        """A shipped set by its name, or a file. Raises InputError if it does not exist or cannot be read."""
        path, shown = self._folder / f"{given}.jsonl", f"“{given}”"
        if given not in CONTRAST:
            path = written_path(given)
            shown = f"“{path.name}”"
            if not path.is_file():
                what = "a folder" if path.is_dir() else "neither a file nor a contrast set"
                raise InputError(field, f"“{given}” is {what}", f"Give a file, or one of {', '.join(CONTRAST)}")
        return parse_contrast(content_of(path, shown, field), path.stem, jsonl=is_jsonl(path), shown=shown, field=field)


def parse_contrast(
    data: bytes, name: str, *, jsonl: bool | None = None, shown: str | None = None, field: str = FIELD
) -> Setting:
    """The inputs in a file's content, one per line. Empty lines do not count.

    Args:
        name: of the setting, and of the group of lines without one.
        jsonl: whether lines are JSON objects; None: if the first one begins with a brace.
        shown: the file's name in messages.

    Raises:
        InputError: naming the invalid line.
    """
    where = shown or f"“{name}”"
    lines = numbered_lines(data, where, field, LINES)
    if jsonl is None:
        jsonl = lines[0][1].lstrip().startswith("{")
    if len(lines) > MOST_PROMPTS:
        raise InputError(field, f"{where} has {len(lines)} prompts", f"Use at most {MOST_PROMPTS}")
    found = tuple(_line(line, name, f"line {number} of {where}", jsonl, field) for number, line in lines)
    return Setting(name=name, inputs=found)


def in_template(setting: Setting, system: str | None, template: bool | str) -> Setting:
    """The same inputs in this template; ``system`` is the system text of those without one."""
    asked = (
        one.model_copy(
            update={"prompt": PromptRecord(user=one.prompt.user, system=one.prompt.system or system or None,
                                           template=template)}
        )
        for one in setting.inputs
    )  # fmt: skip
    return setting.model_copy(update={"inputs": tuple(asked)})


def _line(line: str, name: str, where: str, jsonl: bool, field: str) -> ContrastInput:
    fields: dict[str, Any] = json_line(line, where, field, LINES) if jsonl else {"prompt": line.strip()}
    known: dict[str, str | None] = {}
    for key in ("prompt", "first", "second", "group", "position", "wording", "id", "system"):
        value = fields.get(key, fields.get("text") if key == "prompt" else None)
        if isinstance(value, int) and not isinstance(value, bool) and key in ("position", "wording", "id"):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise InputError(field, f"{where} has a “{key}” that is not a string", LINES)
        if value is not None:
            check_letters(value, where, field)
        known[key] = (value or "").strip() or None
        if key in ("group", "position", "wording", "id") and len(known[key] or "") > LONGEST_GROUP:
            raise InputError(field, f"{where} has a “{key}” of more than {LONGEST_GROUP} characters", "Shorten it")
    if known["prompt"] is None:
        problem = "has a “prompt” that is empty" if fields.keys() & {"prompt", "text"} else "has no “prompt”"
        raise InputError(field, f"{where} {problem}", LINES)
    first, second = known["first"], known["second"]
    if (first is None) != (second is None):
        raise InputError(field, f"{where} has only one of “first” and “second”", "Give both answers, or none")
    if first is not None and first == second:
        raise InputError(field, f"{where} has the same answer “{first}” twice", "Give two different ones")
    return ContrastInput(
        prompt=PromptRecord(user=known["prompt"], system=known["system"]), first=first, second=second,
        group=known["group"] or name, position=known["position"], wording=known["wording"], id=known["id"],
    )  # fmt: skip
