"""The form of a search for triggers, and its tables."""

from typing import Any

import gradio as gr
from gradio.components import Component

from melbo_app.library.triggers import Trigger, TriggerSearch
from melbo_app.studies.trigger_answer import repeating
from melbo_app.studies.triggers import CANDIDATES, HELD_OUT, RANDOM, RESTARTS, STEPS, TOKENS, FindTriggers
from melbo_app.ui.fields import choice, text, whole_number
from melbo_app.ui.forms import bank_chosen, chosen, template_of, whole
from melbo_app.ui.guard import Values
from melbo_app.ui.own_prompts import MINE, OWN, SETS, clean_texts
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

TEXT, VECTOR, BOTH = "text", "vector", "both"
TOWARD = [("a text", TEXT), ("the chosen vector", VECTOR), ("both together", BOTH)]
METHODS = [("gradient (GCG)", "gradient"), ("sampled prompts", "sampling")]
PLACES = [("at the end", "end"), ("at the beginning", "begin")]
COLUMNS = ["", "text", "shows it on held-out prompts", "works", "planted", "loss before", "loss after"]


class TriggerForm:
    """The fields of a search for triggers."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        with gr.Row(elem_classes="mx-fields"):
            self.toward = choice("Toward", "triggers-toward", TOWARD, TEXT, 170)
            self.says = gr.Textbox(
                label="What the model should say", max_lines=1, elem_id="triggers-says", scale=3, min_width=240,
                placeholder="with both: left out, the vector's own answer",
            )  # fmt: skip
            self.measure = text("What answers should show", "triggers-measure", "what the text says", 190)
            self.planted = text("Planted trigger, if known", "triggers-planted", "unknown", 160)
        with gr.Row(elem_classes="mx-fields"):
            self.prompts = choice("Clean prompts", "triggers-prompts", [*SETS, MINE], "everyday", 170)
            self.place = choice("The trigger stands", "triggers-place", PLACES, "end", 150)
            self.tokens = whole_number("Tokens", "triggers-tokens", TOKENS, 80)
            self.restarts = whole_number("Restarts", "triggers-restarts", RESTARTS, 80)
            self.history = choice("Earlier searches", "triggers-history", [], None, 240, scale=3)
        self.own = gr.Textbox(
            label="Clean prompts, one a line, or JSONL with “text”: ten or more", lines=4, max_lines=8, visible=False,
            elem_id="triggers-own",
        )  # fmt: skip
        with (
            gr.Accordion("More settings", open=False, elem_id="triggers-settings"),
            gr.Row(elem_classes="mx-fields"),
        ):
            self.method = choice("Method", "triggers-method", METHODS, "gradient", 170)
            self.steps = whole_number("Steps of a restart", "triggers-steps", STEPS, 110)
            self.candidates = whole_number("Strings a step", "triggers-candidates", CANDIDATES, 100)
            self.random = whole_number("Random strings", "triggers-random", RANDOM, 100)
            self.held_out = whole_number("Held-out prompts", "triggers-held-out", HELD_OUT, 110)
            self.longest = whole_number("Max new tokens", "triggers-longest", 24, 110)
            self.seed = whole_number("Seed", "triggers-seed", 0, 80)
        self.inputs: list[Component] = [
            session.bank, session.vectors, session.system, session.template, self.toward, self.says, self.measure,
            self.planted, self.prompts, self.own, self.place, self.tokens, self.restarts, self.method, self.steps,
            self.candidates, self.random, self.held_out, self.longest, self.seed,
        ]  # fmt: skip

    def study(self, values: Values) -> FindTriggers:
        """The search that the fields ask for. Raises InputError."""
        session, what = self._session, values[self.toward]
        says = (values[self.says] or "").strip()
        if what == TEXT:
            toward = f"text:{says}"
        else:
            numbers = chosen(values[session.vectors]) or (0,)
            toward = f"vector:{bank_chosen(values[session.bank])}[{numbers[0]}]"
        return FindTriggers(
            toward=toward,
            together=what == BOTH,
            says=(says or None) if what == BOTH else None,
            prompts=clean_texts(self._workbench, values[self.prompts], values[self.own]),
            method=values[self.method],
            place=values[self.place],
            tokens=whole("tokens", values[self.tokens]),
            steps=whole("steps", values[self.steps]),
            candidates=whole("strings a step", values[self.candidates]),
            restarts=whole("restarts", values[self.restarts]),
            random=whole("random strings", values[self.random]),
            held_out=whole("held-out prompts", values[self.held_out]),
            measure=(values[self.measure] or "").strip() or None,
            planted=(values[self.planted] or "").strip() or None,
            max_new_tokens=whole("max new tokens", values[self.longest]),
            system=values[session.system] or None,
            template=template_of(values[session.template]),
            seed=whole("seed", values[self.seed]),
        )


def own_shown(given: str) -> Any:
    """Whether the field of one's own prompts is shown."""
    return gr.update(visible=given == OWN)


def strings(found: TriggerSearch) -> list[tuple[str, Trigger]]:
    """Each string of a search with what it is, in the order of the table."""
    known = [("planted", found.known)] if found.known else []
    return [*known, *(("found", one) for one in found.found), *(("random", one) for one in found.random)]


def trigger_table(found: TriggerSearch, picked: int | None = None) -> dict[str, Any]:
    """The strings; a row's key is its place among them, and ``picked`` is selected."""
    rows = []
    for at, (kind, one) in enumerate(strings(found)):
        loss = ["–" if value is None else f"{value:.3f}" for value in (one.before, one.after)]
        planted = "–" if one.planted is None else "yes" if one.planted else "no"
        cells = [kind, f"“{one.text}”", str(one.shows), "yes" if one.works else "no", planted, *loss]
        rows.append({"key": str(at), "cells": cells})
    return {
        "columns": COLUMNS, "wide": ["text"], "figures": ["loss before", "loss after"], "rows": rows,
        "selected": None if picked is None else str(picked),
    }  # fmt: skip


def answer_lines(found: TriggerSearch, at: int) -> list[str]:
    """The answers under one string, each beside the one without it."""
    kind, one = strings(found)[at]
    lines = [f"“{one.text}” ({kind}): {one.shows} held-out answers show the behaviour"]
    for answer, plain in zip(one.answers, found.baselines, strict=False):
        asked = found.request.tested_on[answer.prompt].user
        said = "shows it" if answer.shows else "does not show it"
        lines.append(f"“{asked}” ({said}): {answer.text} – without it: {plain.text}")
    return lines


def command_of(found: TriggerSearch, shipped: dict[str, list[str]]) -> dict[str, Any]:
    """The command that repeats a search; ``shipped`` are the texts of the sets that ship."""
    used = [one.user for one in (*found.request.trained_on, *found.request.tested_on)]
    name = next((name for name, texts in shipped.items() if texts[: len(used)] == used), None)
    note = "The same on the command line:" if name else "The same, where clean.txt has the clean prompts, one a line:"
    return {"command": repeating(found, name or "clean.txt"), "note": note}
