"""A report as one HTML page that needs no network."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from melbo_app import __version__
from melbo_app.analysis.difference import mark
from melbo_app.library.completion import Completion
from melbo_app.library.label_readings import MEANING, facts, in_words
from melbo_app.studies.flagging import flagged
from melbo_app.studies.page_template import page_template
from melbo_app.studies.report import Report
from melbo_app.studies.similarity import Similarity
from melbo_app.studies.steering_command import steering_command

TEMPLATE = "report.html"
GREEDY = "greedy"


def report_page(report: Report, shown: Callable[[str], str] = str) -> str:
    """The page; ``shown`` takes folders out of the names of models and out of commands."""
    from plotly.offline import get_plotlyjs  # late: plotly takes a second to import

    figures = _figures(report)
    return page_template(TEMPLATE).render(
        title=_title(report), facts=_facts(report, shown), prompts=_prompts(report), labels=_labels(report),
        meaning=MEANING if any(report.readings.values()) else "",
        figures=figures, left_out=report.left_out, commands=_commands(report, shown),
        plotly=get_plotlyjs() if figures else "", version=__version__, made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip


def _title(report: Report) -> str:
    return report.bank.record.name if report.bank else report.comparison.completions[0].prompt.user


def _facts(report: Report, shown: Callable[[str], str]) -> list[tuple[str, str]]:
    """What made the texts."""
    one = next((one for one in report.texts if isinstance(one.vector, int)), report.texts[0])
    sampled = f"temperature {one.temperature:g}, top-p {one.top_p:g}, seed {one.seed}"
    facts = [
        ("Model", f"{shown(one.model)}, weights sha256 {one.model_hash}"),
        ("Data type", one.dtype or "unknown"),
        ("Decoding", f"{sampled if one.temperature else GREEDY}, at most {one.max_new_tokens} new tokens"),
    ]
    if report.bank is not None:
        record = report.bank.record
        target = "" if record.target is None else f" → {record.target}"
        facts += [
            ("Bank", f"{record.name}, {len(report.bank.vectors)} vectors, hash {report.bank.hash}"),
            (
                "Trained",
                f"{record.method}, blocks {record.source}{target}, R {record.radius:.4g}, scope {record.scope}",
            ),
            ("Training prompts", " · ".join(prompt.user for prompt in record.prompts) or "unknown"),
        ]
    return facts


def _prompts(report: Report) -> list[dict[str, Any]]:
    """A table for each prompt: a row a vector, a column an R."""
    flags = dict(zip(map(id, report.texts), flagged(report.texts), strict=True))
    found = []
    for index in sorted({one.prompt_index for one in report.texts}):
        own = [one for one in report.texts if one.prompt_index == index]
        baseline = next((one for one in own if one.vector is None), None)
        radii = sorted({one.radius for one in own if one.vector is not None})
        rows: dict[int | str, dict[float, Any]] = {}
        for one in own:
            if one.vector is not None:
                rows.setdefault(one.vector, {})[one.radius] = _cell(one, baseline, flags[id(one)])
        order = sorted(rows, key=lambda vector: (vector == "random", vector if isinstance(vector, int) else 0))
        found.append(
            {
                "prompt": own[0].prompt.user,
                "system": own[0].prompt.system or "",
                "baseline": None if baseline is None else _cell(baseline, None, flags[id(baseline)]),
                "columns": [f"R {radius:.4g}" for radius in radii],
                "rows": [
                    {"name": _name(vector, report), "cells": [rows[vector].get(radius) for radius in radii]}
                    for vector in order
                ],
            }
        )
    return found


def _cell(one: Completion, baseline: Completion | None, flags: Iterable[Any]) -> dict[str, Any]:
    pieces = [(one.text, False)] if baseline is None else mark(baseline.text, one.text)
    return {
        "pieces": pieces,
        "verdict": (one.scores.verdict if one.scores else None) or "",
        "runaway": bool(one.scores and one.scores.runaway),
        "flags": [(flag.kind, flag.reason) for flag in flags],
        "same": baseline is not None and baseline.text.split() == one.text.split(),
        "cut": not one.finished,
    }


def _name(vector: int | str, report: Report) -> dict[str, Any]:
    label = report.labels.get(vector) if isinstance(vector, int) else None
    title = f"Vector {vector}" if isinstance(vector, int) else "Random control"
    return {"title": title, "label": label.name if label else "", "rating": (label.rating or 0) if label else 0}


def _labels(report: Report) -> list[dict[str, Any]]:
    lines = sorted(report.labels.items())
    return [
        {
            "vector": vector, "name": one.name, "tags": ", ".join(one.tags), "rating": one.rating or 0,
            "note": one.note, "read": in_words(facts(report.readings.get(vector, ()))),
        }
        for vector, one in lines
    ]  # fmt: skip


def _figures(report: Report) -> list[dict[str, str]]:
    """The map and the heat maps, each with a sentence."""
    from melbo_app.analysis.map_figure import map_figure
    from melbo_app.analysis.plot_config import html_part

    found = []
    if report.map is not None:
        drawn = map_figure(report.map.points, "vector", "", report.map.clusters)
        found.append({"title": "Map of the texts", "html": html_part(drawn, 560), "note": report.map.note})
    if report.similarity is not None:
        found += _heat_maps(report, report.similarity)
    return found


def _heat_maps(report: Report, similar: Similarity) -> list[dict[str, str]]:
    from melbo_app.analysis.heatmap_figure import heatmap_figure
    from melbo_app.analysis.plot_config import html_part

    def name(vector: int) -> str:
        label = report.labels.get(vector)
        return f"{vector} · {label.name}" if label and label.name else str(vector)

    names = [name(vector) for vector in range(len(similar.order))]
    kinds = [
        ("δ: effects of the vectors", similar.delta, similar.mean_delta, similar.tree.lines),
        ("θ: the vectors themselves", similar.theta, similar.mean_theta, ()),
    ]
    if similar.texts is not None:
        kinds.append(("Texts: what they say", similar.texts, similar.mean_texts, ()))
    return [
        {
            "title": title,
            "html": html_part(heatmap_figure(matrix, names, similar.order, "", lines), 520),
            "note": "" if mean is None else f"Mean cosine off the diagonal: {mean:.3f}. Scope {similar.scope}.",
        }
        for title, matrix, mean, lines in kinds
    ]


def _commands(report: Report, shown: Callable[[str], str]) -> list[str]:
    """What repeats the training and the texts."""
    bank = report.bank
    trained = bank.record.command if bank is not None else None
    steered = steering_command(None if bank is None else bank.record.name, report.texts)
    return [shown(one) for one in (trained, steered) if one]
