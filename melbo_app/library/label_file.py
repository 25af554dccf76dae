"""Labels as a CSV or JSONL file, with what each of them is about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.completion import Completion
from melbo_app.library.file_names import check_file_name, exists_already
from melbo_app.library.label import Label
from melbo_app.library.label_queries import COLUMNS, WHOSE
from melbo_app.library.label_readings import LabelReading, facts, in_words, newest
from melbo_app.library.spreadsheet import csv_bytes

ABOUT = ("tags", "R", "model", "prompt", "system", "text", "text_R", "readings")


@dataclass(frozen=True)
class Grounds:
    """What a label is about: the vector's own R (None: its bank is gone), the model, the text that shows it, and what
    people found who tested the vector's labels."""

    radius: float | None
    model: str
    text: Completion | None
    readings: Sequence[LabelReading] = ()


def write_labels(
    out: Path,
    labels: Sequence[Label],
    grounds: Mapping[tuple[str, int], Grounds],
    *,
    overwrite: bool = False,
    each: bool = False,
) -> Path:
    """Write labels to ``out``, a ``.csv`` or ``.jsonl`` file in UTF-8, with ``grounds`` by bank hash and vector, and
    one column ``tag:…`` per tag. With ``each``, two columns more say whose each label is, and readings say whose they
    are.

    Tags are 1 or 0 in CSV, true or false in JSONL. Raises InputError for another ending or an existing file (unless
    ``overwrite``), and StorageError.
    """
    ending = out.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise InputError("file", f"labels cannot be written as “{out.name}”", "Its name must end in .csv or .jsonl")
    check_file_name("file", out.name)
    tags = sorted({tag for label in labels for tag in label.tags})
    columns = (*COLUMNS, *WHOSE) if each else COLUMNS
    rows = [_row(label, grounds.get((label.bank_hash, label.vector)), tags, columns, each) for label in labels]
    if ending == ".csv":
        data = csv_bytes([[*columns, *ABOUT, *(f"tag:{tag}" for tag in tags)], *map(_cells, rows)])
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    try:
        write_file(out, data, overwrite=overwrite)
    except FileExistsError as error:
        raise exists_already(out) from error
    return out


def _row(
    label: Label, grounds: Grounds | None, tags: Sequence[str], columns: Sequence[str], named: bool
) -> dict[str, Any]:
    said = label.model_dump(mode="json", include={*columns, "tags"})
    text = None if grounds is None else grounds.text
    about: dict[str, Any] = dict.fromkeys(ABOUT) | {"tags": said["tags"], "readings": []}
    if grounds is not None:
        read = facts(newest(grounds.readings, label.vector, label.name), named=named)
        about |= {"R": grounds.radius, "model": grounds.model or None, "readings": read}
    if text is not None:
        about |= {"prompt": text.prompt.user, "system": text.prompt.system, "text": text.text, "text_R": text.radius}
    return {column: said[column] for column in columns} | about | {f"tag:{tag}": tag in label.tags for tag in tags}


def _cells(row: Mapping[str, Any]) -> list[Any]:
    """The same for a spreadsheet, which knows neither lists nor yes and no."""
    plain = {**row, "tags": ", ".join(row["tags"]), "readings": in_words(row["readings"])}
    return [int(cell) if isinstance(cell, bool) else cell for cell in plain.values()]
