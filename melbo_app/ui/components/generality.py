"""Generality: a grid of vectors and prompts; each cell opens its text beside the unsteered one."""

from collections import Counter
from typing import Any

import gradio as gr

from melbo_app.analysis.readability import legible
from melbo_app.library.generality import Generality, TriedAnswer, TriedVector
from melbo_app.ui.components.live import live
from melbo_app.ui.present import amount, vector_name

COLUMNS = ["vector", "changed", "95 %", "random vectors", "kinds of change", "worst group", "mean of groups"]
FIGURES = ["changed", "95 %", "mean of groups"]
GROUP_COLUMNS = ["group", "prompts", "changed by vectors", "by random vectors", "most (vector)", "least (vector)"]
MARKS = {"lifted": "L", "flagged": "F", "meaning": "M"}


def generality_grid(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {groups, rows, prompts, samples, message}; see ``grid``.

    Events: annotate, with bank, bank_hash and vector; use and open, with vector and the prompt's place.
    """
    return live("generality", value, elem_id=elem_id, events=("annotate", "use", "open"), start=start)


def grid(found: Generality, names: dict[int, str], *, texts: bool = True) -> dict[str, Any]:
    """The component's value; ``names`` are the labels of the vectors. Without ``texts``, cells cannot be opened yet.

    Prompts are grouped by set and group, in order of first appearance. A cell has a text of each seed, and so has the
    baseline of its prompt.
    """
    kinds = [(one.set, one.group) for one in found.prompts]
    groups = list(dict.fromkeys(kinds))
    order = sorted(range(len(kinds)), key=lambda at: groups.index(kinds[at]))
    several = len({name for name, _ in groups}) > 1
    rows = [
        {
            "key": f"v{one.vector}", "kind": "vector", "vector": one.vector, "title": f"Vector {one.vector}",
            "name": names.get(one.vector, ""), "share": f"{one.share.share:.0%}", "radius": amount(one.radius, 4),
            "cells": [_cell(one.answers[at], texts) for at in order],
        }
        for one in found.vectors
    ]  # fmt: skip
    radii = {one.radius for one in found.random}
    rows += [
        {
            "key": f"r{one.number}-{one.radius}", "kind": "random", "vector": None,
            "title": f"Random {one.number}", "name": f"R {amount(one.radius, 3)}" if len(radii) > 1 else "",
            "share": f"{one.share.share:.0%}", "radius": amount(one.radius, 4),
            "cells": [_cell(one.answers[at], texts) for at in order],
        }
        for one in found.random
    ]  # fmt: skip
    return {
        "groups": [
            {"set": of if several else "", "name": name, "size": kinds.count((of, name))} for of, name in groups
        ],
        "prompts": [
            {"at": at, "text": found.prompts[at].prompt.user,
             "baselines": [{"text": one.text, "refuses": one.refuses} for one in found.baselines[at].every]}
            for at in order
        ],
        "samples": found.samples,
        "seed": found.seed,
        "rows": rows,
        "open": texts,
        "bank": found.bank,
        "bank_hash": found.bank_hash,
    }  # fmt: skip


def vector_table(found: Generality | None, names: dict[int, str]) -> dict[str, Any]:
    """A table of the vectors, most general first."""
    if found is None:
        return {"columns": []}
    several = len(found.vectors[0].groups) > 1
    columns = COLUMNS if several else COLUMNS[:5]
    ranked = sorted(found.vectors, key=lambda one: -one.share.changed)
    rows = [{"cells": _line(one, names)[: len(columns)]} for one in ranked]
    return {"columns": columns, "figures": FIGURES, "wide": ["worst group"] * several, "rows": rows}


def group_table(found: Generality | None) -> dict[str, Any]:
    """A table of the sets and groups, if there are several."""
    if found is None:
        return {"columns": []}
    lines = [line for kind in ("sets", "groups") if len(several := found.by(kind)) > 1 for line in several]
    rows = [
        {
            "cells": [
                one.name, str(one.prompts), f"{one.mean:.0%}", f"{one.random_share:.0%}", *_ends(one.vectors, found)
            ]
        }
        for one in lines
    ]  # fmt: skip
    figures = GROUP_COLUMNS[1:4]
    return {"columns": GROUP_COLUMNS if rows else [], "figures": figures, "wide": [GROUP_COLUMNS[0]], "rows": rows}


def _ends(shares: tuple[float, ...], found: Generality) -> tuple[str, str]:
    """The largest and smallest share in a group, each with its vector."""
    best, worst = max(shares), min(shares)
    numbers = [one.vector for one in found.vectors]
    return tuple(f"{share:.0%} ({numbers[shares.index(share)]})" for share in (best, worst))  # type: ignore[return-value]


def _line(one: TriedVector, names: dict[int, str]) -> list[str]:
    (low, high), (least, most) = one.share.interval, one.random_range
    worst = one.worst_group
    return [
        vector_name(one.vector, names),
        f"{one.share.share:.0%}",
        f"{low:.0%} – {high:.0%}",
        f"{one.random.share:.0%} (each {least:.0%} – {most:.0%})",
        ", ".join(f"{count} {MARKS[kind]}" for kind, count in one.changes.items() if count) or "–",
        f"{worst.share:.0%} {worst.name}",
        f"{one.mean_of_groups:.0%}",
    ]


def _cell(answer: TriedAnswer, texts: bool) -> dict[str, Any]:
    """A cell of the grid, of the kind of most of its changes."""
    every = answer.every
    kinds = [_kind(one) for one in every]
    changes = [kind for kind in kinds if kind in MARKS]
    cell: dict[str, Any] = {"kind": Counter(changes or kinds).most_common(1)[0][0], "changed": answer.changed}
    if texts:
        cell["texts"] = [_text(one, kind) for one, kind in zip(every, kinds, strict=True)]
    return cell


def _kind(answer: TriedAnswer) -> str:
    return answer.change or ("same" if legible(answer.text, answer.verdict) else "broken")


def _text(answer: TriedAnswer, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "text": answer.text,
        "verdict": answer.verdict,
        "flags": [{"text": flag.kind, "title": flag.reason} for flag in answer.flags],
        "distance": f"distance {answer.distance:.2f}, threshold {answer.threshold:.2f}",
    }
