"""A reliability in the tables, lines and plot of the page."""

from typing import Any

from melbo_app.studies.reliability_answer import CAUSAL, Reliable, VectorLine, card_lines, setting_lines, signed
from melbo_app.studies.reliability_card import Card
from melbo_app.ui.components.plotly_view import figure_value
from melbo_app.ui.present import first_line, sentence

COLUMNS = [
    "vector",
    "mean slope",
    "95 %",
    "random vectors",
    "sd",
    "other way",
    "95 % of these",
    "fit R²",
    "worst group",
]
INPUTS = ["no.", "prompt", "first", "second", "group", "named first", "wording", "slope"]
NONE = "–"


def vector_table(answer: Reliable | None, names: dict[int, str], chosen: int | None = None) -> dict[str, Any]:
    """A row for each vector, on the first setting, and a column for each further one."""
    if answer is None or not answer["vectors"]:
        return {"columns": []}
    others = [one["name"] for one in answer["settings"][1:]]
    rows = []
    for one in answer["vectors"]:
        name = names.get(one["vector"])
        cells = [f"{one['vector']} {name}" if name else str(one["vector"]), *_cells(one)]
        cells += [signed(card["mean"]) for card in one["cards"][1:]]
        rows.append({"key": str(one["vector"]), "cells": cells})
    columns = [*COLUMNS, *others]
    return {
        "columns": columns, "wide": ["vector"], "figures": [one for one in columns[1:] if one != "worst group"],
        "rows": rows, "selected": None if chosen is None else str(chosen),
    }  # fmt: skip


def _cells(one: VectorLine) -> list[str]:
    main, random = one["cards"][0], one["random"]
    (low, high), against = main["interval"], main["against"]
    worst = main["worst_group"]
    return [
        signed(main["mean"]),
        f"{signed(low)} to {signed(high)}",
        NONE if random is None else f"{signed(random['range'][0])} to {signed(random['range'][1])}",
        f"{main['sd']:.2f}",
        f"{against['count']} of {against['n']}",
        f"{100 * against['interval'][0]:.0f} to {100 * against['interval'][1]:.0f} %",
        NONE if main["fit"] is None else f"{main['fit']:.2f}",
        NONE if worst is None else f"{worst['name']} {signed(worst['mean'])}",
    ]


def said_lines(answer: Reliable) -> list[str]:
    """What is true of all vectors together."""
    ranks = [sentence(line) for setting in answer["settings"][1:] for line in setting_lines(setting)]
    return [answer["sentence"], *ranks, CAUSAL]


def vector_lines(one: VectorLine) -> list[str]:
    """A vector's card in words."""
    return [one["sentence"], *map(sentence, card_lines(one))]


def input_table(answer: Reliable, one: VectorLine) -> dict[str, Any]:
    """The inputs of the first setting, those that go the other way first."""
    main = one["cards"][0]
    turn = -1 if main["mean"] < 0 else 1
    order = sorted(range(main["inputs"]), key=lambda at: turn * main["slopes"][at])
    rows = []
    for at in order:
        line, slope = answer["inputs"][0][at], main["slopes"][at]
        cells = [
            str(at + 1), first_line(line["prompt"].user, 160), line["first"] or NONE, line["second"] or NONE,
            line["group"], line["position"] or NONE, line["wording"] or NONE, signed(slope),
        ]  # fmt: skip
        rows.append({"cells": cells, **({"tone": "damaged"} if turn * slope < 0 else {})})
    return {"columns": INPUTS, "wide": ["prompt"], "figures": ["no.", "slope"], "rows": rows}


def plot(answer: Reliable, one: VectorLine) -> dict[str, Any]:
    """The dose–response curve of a vector."""
    from melbo_app.analysis.reliability_figure import Line, reliability_figure  # late: plotly takes a second

    def line(card: Card) -> Line:
        doses = card["curve"]
        lows, highs = zip(*(dose["interval"] for dose in doses), strict=True)
        return Line(card["setting"], [dose["mean"] for dose in doses], lows, highs)

    random = one["random"]["curve"] if one["random"] else None
    nats = answer["unit"].startswith("nats")
    quantity = "log-odds of the first answer, nats" if nats else f"share of texts with {answer['measure']}"
    title = f"Vector {one['vector']} at R {one['radius']:.4g}"
    return figure_value(reliability_figure(answer["multiples"], [*map(line, one["cards"])], random, quantity, title))
