"""A bank as a folder to publish: a model card, the bank's file, and each vector for llama.cpp and Python."""

import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.formats import gguf, snippet
from melbo_app.library.formats.format import Parcel, model_name
from melbo_app.library.label_readings import MEANING, facts, in_words
from melbo_app.quoting import readable

CARD = "README.md"


def files(parcel: Parcel) -> dict[str, bytes]:
    """The files of the folder by name, without .gguf files if llama.cpp cannot run them."""
    bank, stem = parcel.bank, parcel.stem
    made = {f"{stem}.safetensors": bank.to_bytes()}
    for index in range(len(bank.vectors)):
        one = Parcel(single(bank, index), f"{stem}-{index}")
        if bank.record.source > 0:  # llama.cpp cannot steer the first block
            made[f"{one.stem}.gguf"] = gguf.write(one)
        made[f"{one.stem}.py"] = snippet.write(one)
    return {CARD: _card(parcel).encode(), **made}


def write(parcel: Parcel) -> bytes:
    """The folder as a zip; the same bank gives the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files(parcel).items():
            archive.writestr(zipfile.ZipInfo(f"{parcel.stem}/{name}"), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def single(bank: Bank, index: int) -> Bank:
    """The vector ``index`` as its own bank, for formats that keep only the layer and R of the record."""
    facts = dict.fromkeys(("objective", "curves", "strength", "effect", "held_out_effect"))
    radius = float(np.linalg.norm(bank.vectors[index].astype(np.float64)))
    record = bank.record.model_copy(update={**facts, "radius": radius})
    return replace(bank, record=record, vectors=bank.vectors[index : index + 1], output_directions=None)


def _card(parcel: Parcel) -> str:
    bank, stem = parcel.bank, parcel.stem
    record, model = bank.record, model_name(bank.record.model)
    median = "" if record.relative_radius is None else f" ({record.relative_radius:.3g} × the median residual norm)"
    target = "" if record.target is None else f", trained for the output of block {record.target}"
    facts = [
        ("base model", readable(model, 200)),
        ("sha256 of its weights", record.model_hash or "unknown"),
        ("layers", f"added to the output of block {record.source}, counted from 0{target}"),
        ("vectors", f"{len(bank.vectors)} of {record.hidden_size} numbers"),
        ("R", f"{record.radius:.6g}{median}"),
        ("method", record.method + (f", seed {record.seed}" if record.seed is not None else "")),
        ("token scope", record.scope or "unknown"),
        ("created", record.created.strftime("%Y-%m-%d")),
        ("hash of the bank", bank.hash),
    ]
    lines = ["---", "tags:", "- steering-vectors", "- melbo"]
    if "/" in model:  # its name on the hub
        lines += [f"base_model: {json.dumps(model)}"]
    lines += ["---", "", f"# {_cell(stem)}", ""]
    lines += ["Steering vectors: each is added to the residual stream of the base model, at every token.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts), ""]
    lines += ["## The vectors", "", *_table(bank, parcel), "", *_prompts("Prompts", record.prompts)]
    lines += _prompts("Contrast prompts", record.against) + _prompts("Held-out prompts", record.held_out)
    notes = [
        f"- vector {vector}: {_cell(label.note, 2000)}"
        for vector, label in sorted(parcel.labels.items())
        if vector < len(bank.vectors) and label.note
    ]
    lines += ["## Notes", "", *notes, ""] if notes else []
    if record.note:
        lines += ["## Where it comes from", "", _cell(record.note, 2000), ""]
    return "\n".join([*lines, *_use(parcel)])


def _table(bank: Bank, parcel: Parcel) -> list[str]:
    """A row for each vector: its label, what people found who tested it, and the figures in the record."""
    record, effect = bank.record, bank.record.effect
    norms = [float(norm) for norm in np.linalg.norm(bank.vectors.astype(np.float64), axis=1)]
    figures: list[tuple[str, Sequence[float] | None]] = [
        ("norm", norms),
        ("J", record.objective),
        ("strength", record.strength),
        ("change", effect.change if effect else None),
        ("runaway share", effect.runaway if effect else None),
    ]
    shown = [(name, values) for name, values in figures if values is not None]
    tested = ["people’s AUROC"] * any(parcel.readings.values())
    heads = ["vector", "label", "tags", "rating", *tested, *(name for name, _ in shown)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for vector in range(len(bank.vectors)):
        label = parcel.labels.get(vector)
        words = [label.name, ", ".join(label.tags), str(label.rating or "")] if label else ["", "", ""]
        words += [in_words(facts(parcel.readings.get(vector, ())))] * len(tested)
        numbers = [f"{values[vector]:.4g}" for _, values in shown]
        lines += ["| " + " | ".join([str(vector), *(_cell(word) for word in words), *numbers]) + " |"]
    return [*lines, "", MEANING] if tested else lines


def _prompts(title: str, prompts: list[PromptRecord]) -> list[str]:
    lines = [f"## {title}", ""] if prompts else []
    for prompt in prompts:
        chosen = f" ({prompt.template})" if isinstance(prompt.template, str) else ""
        how = f"in the chat template{chosen}" if prompt.template else "as it is, without the chat template"
        system = [f"with the system text:\n\n{_fenced(prompt.system)}\n"] if prompt.system else []
        lines += [_fenced(prompt.user), "", how + ("," if system else "."), *system, ""]
    return lines


def _use(parcel: Parcel) -> list[str]:
    bank, stem = parcel.bank, parcel.stem
    record = bank.record
    prompt = record.prompts[0].user if record.prompts else None
    lines = ["## How to use it", "", f"- MELBO Explorer: `banks import {stem}.safetensors`, or the Banks tab."]
    lines += [f"- Python, with the package steering-vectors: `{stem}-0.py` and so on define `vector`, scaled to R."]
    if record.source == 0:
        return [*lines, "- llama.cpp cannot add a vector to the output of block 0.", ""]
    lines += ["- llama.cpp, with the model as a .gguf file (the vector is scaled to R):", ""]
    return [*lines, _fenced(gguf.command(f"{stem}-0.gguf", model_name(record.model), prompt)), ""]


def _cell(text: str, longest: int = 300) -> str:
    """A text escaped for a line of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!~])", r"\\\1", readable(" ".join(text.split()), longest))


def _fenced(text: str) -> str:
    """A text in a code fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
