"""The texts of a report as a table: CSV for spreadsheets, JSON lines, or a dataset folder for the Hugging Face hub."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError
from melbo_app.library.label_readings import MEANING, facts, in_words
from melbo_app.library.spreadsheet import csv_bytes
from melbo_app.quoting import readable
from melbo_app.studies.flagging import flagged
from melbo_app.studies.report import Report

DATA, CARD = "texts.jsonl", "README.md"
DECODING = ("max_new_tokens", "temperature", "top_p", "seed")


def rows(report: Report, shown: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """One for each text, with what made it and the label of its vector. ``kind`` is baseline, random or vector; only
    the last has a number in ``vector``, so that each column has one type. ``shown`` takes folders out of the names of
    models."""
    found = []
    for one, flags in zip(report.texts, flagged(report.texts), strict=True):
        label = report.labels.get(one.vector) if isinstance(one.vector, int) else None
        scores = one.scores
        found.append(
            {
                "prompt": one.prompt.user,
                "system": one.prompt.system,
                "kind": "vector" if isinstance(one.vector, int) else one.vector or "baseline",
                "vector": one.vector if isinstance(one.vector, int) else None,
                "R": one.radius,
                "text": one.text,
                "verdict": scores.verdict if scores else None,
                "runaway": bool(scores.runaway) if scores and scores.runaway is not None else None,
                "flags": [flag.kind for flag in flags],
                "label": label.name if label else None,
                "tags": list(label.tags) if label else [],
                "rating": label.rating if label else None,
                "note": label.note if label else None,
                "readings": facts(report.readings.get(one.vector, ())) if isinstance(one.vector, int) else [],
                "tokens": one.tokens,
                "finished": one.finished,
                **{name: getattr(one, name) for name in DECODING},
                "bank": one.bank,
                "bank_hash": one.bank_hash,
                "source_layer": one.source,
                "model": shown(one.model),
                "model_hash": one.model_hash,
                "dtype": one.dtype,
            }
        )
    return found


def csv_table(report: Report, shown: Callable[[str], str] = str) -> bytes:
    """The rows for a spreadsheet."""
    table = rows(report, shown)
    return csv_bytes([[*table[0]], *([_cell(value) for value in row.values()] for row in table)])


def json_lines(report: Report, shown: Callable[[str], str] = str) -> bytes:
    """The rows, one JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(report, shown)).encode()


def dataset_files(report: Report, shown: Callable[[str], str] = str) -> dict[str, bytes]:
    """The files of a dataset folder: the rows, and a card that tells the hub where they are."""
    one = report.texts[0]
    name = report.bank.record.name if report.bank else "steered texts"
    facts = {
        "pretty_name": name,
        "task_categories": ["text-generation"],
        "tags": ["steering-vectors", "melbo"],
        "configs": [{"config_name": "default", "data_files": DATA}],
    }
    head = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in facts.items())
    model = readable(shown(one.model), 200)
    words = f"""---
{head}---
# {readable(name, 200)}

Texts of {model} without steering, under steering vectors (MELBO, Mack & Turner 2024) and, where
there are any, under random vectors of the same length, with the labels that people gave to the vectors.

`kind` is `baseline` (without steering), `random` or `vector`; `R` is the norm of what was added to the output of block
`source_layer`. The weights have the sha256 `{one.model_hash}`.

`readings` has, for each person who tested the label, `auroc` with its interval (`low`, `high`) on `unseen` texts of
each kind. {MEANING}
"""
    return {CARD: words.encode(), DATA: json_lines(report, shown)}


def _cell(value: Any) -> Any:
    """A value for a spreadsheet, which knows neither lists nor yes and no."""
    if isinstance(value, list):
        return in_words(value) if value and isinstance(value[0], dict) else ", ".join(value)
    return int(value) if isinstance(value, bool) else value


PAGES = (".html", ".htm")
TABLES = {".csv": csv_table, ".jsonl": json_lines}
"""The endings of a page, and of files with the texts alone; a dataset folder has none."""


def check_ending(out: Path) -> str:
    """The ending of a file to write. Raises InputError for one that no report has."""
    ending = out.suffix.lower()
    if ending and ending not in (*PAGES, *TABLES):
        remedy = "Its name must end in .html, .csv or .jsonl; a folder's has no ending"
        raise InputError("out", f"“{out.name}” cannot be written", remedy)
    return ending
