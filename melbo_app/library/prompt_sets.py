"""Sets of prompts: those that ship, and people's own files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.text_file import text_of
from melbo_app.paths import written_path

SHIPPED = ("refused", "everyday", "arithmetic", "code")
MOST_PROMPTS = 200
MOST_BYTES = 1_000_000
LONGEST_GROUP = 60
FIELD = "prompts"
_JSONL = (".jsonl", ".ndjson")
LINES = 'Write one prompt per line, or JSONL such as {"prompt": "…", "group": "…"}'


@dataclass(frozen=True)
class SetPrompt:
    """A prompt of a set. ``group`` is the kind of prompt, by default the set's name."""

    text: str
    group: str
    set: str


class PromptSets:
    """The sets in ``folder``, one JSONL file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, given: str) -> list[SetPrompt]:
        """A shipped set by its name, or a file. Raises InputError if it does not exist or cannot be read."""
        path, shown = self.place(given)
        return parse_prompts(content_of(path, shown), path.stem, jsonl=is_jsonl(path), shown=shown)

    def place(self, given: str, field: str = FIELD) -> tuple[Path, str]:
        """Where a shipped set or a file is, and its name in messages. Raises InputError if it does not exist."""
        if given in SHIPPED:
            return self._folder / f"{given}.jsonl", f"“{given}”"
        path = written_path(given)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "neither a file nor a set"
            raise InputError(field, f"“{given}” is {what}", f"Give a file, or one of {', '.join(SHIPPED)}")
        return path, f"“{path.name}”"

    def read_all(self, given: list[str]) -> list[SetPrompt]:
        """Several sets, one after the other. Raises InputError also if they have too many prompts in total."""
        if not given:
            raise InputError(FIELD, "no set is given", f"Give a file, or one of {', '.join(SHIPPED)}")
        return joined([self.read(one) for one in dict.fromkeys(given)])


def joined(sets: list[list[SetPrompt]]) -> list[SetPrompt]:
    """The prompts of several sets, each text once, with the group and set of its first occurrence."""
    found: dict[str, SetPrompt] = {}
    for one in (one for several in sets for one in several):
        found.setdefault(one.text, one)
    if len(found) > MOST_PROMPTS:
        raise InputError(FIELD, f"there are {len(found)}", f"Use at most {MOST_PROMPTS}")
    return list(found.values())


def parse_prompts(
    data: bytes, name: str, *, jsonl: bool | None = None, shown: str | None = None, once: bool = False
) -> list[SetPrompt]:
    """The prompts in a file's content, one per line. Empty lines do not count.

    Args:
        name: of the set, and of the group of lines without one.
        jsonl: whether lines are JSON objects; None: if the first one begins with a brace.
        shown: the file's name in messages.
        once: whether to refuse a prompt that is there twice; otherwise the later one is dropped.

    Raises:
        InputError: naming the invalid line.
    """
    where = shown or f"“{name}”"
    lines = numbered_lines(data, where, FIELD, LINES)
    if jsonl is None:
        jsonl = lines[0][1].lstrip().startswith("{")
    found = [_line(line, name, f"line {number} of {where}", jsonl) for number, line in lines]
    if len(found) > MOST_PROMPTS:
        raise InputError(FIELD, f"{where} has {len(found)} prompts", f"Use at most {MOST_PROMPTS}")
    if once:
        seen = dict[str, int]()
        for (number, _), one in zip(lines, found, strict=True):
            if (first := seen.setdefault(one.text, number)) != number:
                problem = f"line {number} of {where} repeats the prompt of line {first}"
                raise InputError(FIELD, problem, "Leave one of them out")
    return joined([found])


def check_letters(text: str, where: str, field: str) -> None:
    """Raises InputError for characters that no prompt can have."""
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(field, f"{where} contains an invalid character", "Remove it")


def is_jsonl(path: Path) -> bool | None:
    """Whether the lines of a file are JSON objects; None: its name does not say."""
    return True if path.suffix.lower() in _JSONL else None


def content_of(path: Path, shown: str, field: str = FIELD) -> bytes:
    """The content of a person's file. Raises InputError if it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(field, f"{shown} cannot be read ({error.strerror or error})", "Choose another file") from error
    if len(data) > MOST_BYTES:
        raise InputError(field, f"{shown} is too large", f"Use a file of at most {MOST_BYTES:,} bytes")
    return data


def numbered_lines(data: bytes, where: str, field: str, remedy: str) -> list[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers. Raises InputError if there are none."""
    if len(data) > MOST_BYTES:
        raise InputError(field, f"{where} has {len(data):,} bytes", f"Use a file of at most {MOST_BYTES:,} bytes")
    try:
        text = text_of(data)
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise InputError(field, f"line {number} of {where} is not text in UTF-8", remedy) from error
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    if not lines:
        raise InputError(field, f"{where} is empty", remedy)
    return lines


def _line(line: str, name: str, where: str, jsonl: bool) -> SetPrompt:
    fields: dict[str, Any] = json_line(line, where, FIELD, LINES) if jsonl else {"prompt": line.strip()}
    prompt, group = fields.get("prompt", fields.get("text")), fields.get("group")  # prompts to watch have the latter
    if not isinstance(prompt, str) or not prompt.strip():
        is_there = fields.keys() & {"prompt", "text"}
        problem = "has a “prompt” that is empty or not a string" if is_there else "has no “prompt”"
        raise InputError(FIELD, f"{where} {problem}", LINES)
    if group is not None and not isinstance(group, str):
        raise InputError(FIELD, f"{where} has a “group” that is not a string", LINES)
    group = (group or "").strip() or name
    if len(group) > LONGEST_GROUP:
        raise InputError(FIELD, f"{where} has a “group” of {len(group)} characters", f"Use at most {LONGEST_GROUP}")
    for text in (prompt, group):
        check_letters(text, where, FIELD)
    return SetPrompt(prompt, group, name)


def json_line(line: str, where: str, field: str, remedy: str) -> dict[str, Any]:
    """The JSON object on a line. Raises InputError for anything else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(field, f"{where} is not JSON", remedy) from error
    if not isinstance(found, dict):
        raise InputError(field, f"{where} is not a JSON object", remedy)
    return found
