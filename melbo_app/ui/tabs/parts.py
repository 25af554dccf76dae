"""Parts: which heads and MLPs carry what a vector does."""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.circuits import Circuit, Part
from melbo_app.library.damage import Listed
from melbo_app.studies.parts import EXACT, KEEP, RANDOM, TOKENS, FindParts, PartsProgress
from melbo_app.studies.parts_answer import command_of, effect_sentence, found_parts, notes_of, percent, set_sentences
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, number, small_button, text, whole_number
from melbo_app.ui.files import fetch_script, hidden_download, written_json
from melbo_app.ui.forms import bank_chosen, chosen, radii_of, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import amount, day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.workbench import Workbench

FILE = "parts-file"
EMPTY = (
    "Choose one vector at the left, and say what it changes on the prompt above. Parts replaces the outputs of "
    "attention heads and MLPs by those of the unsteered run, and finds the smallest set that carries the effect."
)
FORMS = "logits:Yes,No – flag:refusal gone – words:kettle,copper – regex:^Ahoy – language:fr"
COLUMNS = ["part", "estimate", "exact", "alone", "in the set"]
SHARES = (
    "Shares of the effect. Estimate and exact: what is lost when the part has its unsteered output, by attribution "
    "patching and by a pass of its own. Alone: what it adds to the vector with no other part. Shares need not add up."
)
LISTED = 24


class PartsTab(HistoryTab):
    """The view Parts."""

    kind = "parts"
    stopped = "Stopped before the first estimate: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        with gr.Row(elem_classes="mx-fields"):
            self.measure = text("Measure", "parts-measure", FORMS, 260, scale=4)
            self.keep = number("Keep, %", "parts-keep", 100 * KEEP, 80)
            self.exact = whole_number("Patched exactly", "parts-exact", EXACT, 110)
            self.random = whole_number("Random vectors", "parts-random", RANDOM, 110)
            self.tokens = whole_number("Max new tokens", "parts-tokens", TOKENS, 110)
            self.seed = whole_number("Seed", "parts-seed", 0, 70)
            self.history = choice("Earlier results", "parts-history", [], None, 200, scale=3)
        self._toolbar("parts", "Find parts", 120)
        self.said = note_view(note(EMPTY), elem_id="parts-said")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=5, min_width=340):
                self.map = plotly_view({}, elem_id="parts-map", start="parts-start")
                self.one = note_view(note(), elem_id="parts-one")
            with gr.Column(scale=4, min_width=300):
                self.table = record_table({"columns": []}, elem_id="parts-table")
                self.about = note_view(note(), elem_id="parts-about")
        self.texts = note_view(note(), elem_id="parts-texts")
        self.command = command_line(elem_id="parts-command")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.json = small_button("Download parts.json", "parts-json", 160, interactive=False)
        self._file = hidden_download(FILE)
        self._views: list[Block] = [
            self.said, self.map, self.one, self.table, self.about, self.texts, self.command, self.json,
        ]  # fmt: skip
        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms) -> None:
        """Bind finding, clicking and the download; when the view is opened, the last result is shown."""
        session = self._session
        inputs = [
            *session.prompt_inputs, *session.bank_inputs, self.measure, self.keep, self.exact, self.random, self.tokens,
            self.seed,
        ]  # fmt: skip
        self._bind_history(rooms.opened("parts"), inputs, self._views)
        bind(self.map.point, self._point, [self.shown], self.one)
        made = bind(self.json.click, self._write, self.shown, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _study(self, values: Values) -> FindParts:
        session = self._session
        name, vectors = bank_chosen(values[session.bank]), chosen(values[session.vectors])
        if len(vectors) != 1:
            problem = f"{len(vectors) or 'none'} are chosen, and Parts takes one apart"
            raise InputError("vectors", problem, "Choose one in the list at the left")
        prompts, radii = session.prompts(values), radii_of(values[session.radius])
        if len(prompts) > 1:
            raise InputError("prompt", "there are several, and Parts takes one", "Remove the others")
        return FindParts(
            bank=name,
            vector=vectors[0],
            prompt=prompts[0],
            measure=values[self.measure] or "",
            radius=None if radii is None else radii[0],
            keep=real("keep", values[self.keep]) / 100,
            exact=whole("patched exactly", values[self.exact]),
            random=whole("random vectors", values[self.random]),
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            seed=whole("seed", values[self.seed]),
        )

    def _found(self) -> Listed[Circuit]:
        return self._workbench.circuits()

    def _part(self, progress: PartsProgress) -> Circuit | None:
        return progress.circuit

    def _draw(self, job: Job[Any, Any], part: Circuit, values: Values) -> Changes:
        return self._show(part)

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _show(self, found: Circuit) -> Changes:
        again = gr.Button(interactive=True)
        return {
            self.said: note(effect_sentence(found), *set_sentences(found), tone="plain"),
            self.map: _map(found),
            self.one: note("Click a cell to read its effects.") if found.parts else note(),
            self.table: _table(found),
            self.about: note(SHARES, *notes_of(found)) if found.parts else note(),
            self.texts: note(*_texts(found), tone="plain"),
            self.command: {"command": command_of(found), "note": "The same on the command line:"},
            self.json: again,
        }

    def _empty(self) -> Changes:
        nothing: Changes = dict.fromkeys((self.one, self.about, self.texts), note())
        return {
            self.said: note(EMPTY), self.map: {}, self.table: {"columns": []}, self.command: {}, **nothing,
            self.json: gr.Button(interactive=False),
        }  # fmt: skip

    def _summary(self, found: Circuit) -> str:
        on = f"vector {found.vector} of “{found.bank}” on “{first_line(found.prompt.user, 30)}”"
        return f"{found.measure}: {on}{'' if found.finished else ', stopped'}."

    def _line(self, found: Circuit) -> str:
        size = "no effect" if not found.parts else "stopped"
        if found.smallest is not None:
            size = f"{len(found.smallest.parts)} of {len(found.parts)} parts"
        return f"{day(found.created)} · {found.bank} {found.vector} · {found.measure} · {size}"

    def _point(self, event: gr.EventData, key: str | None) -> dict[str, Any]:
        """Say what is known of a part."""
        found, [at] = self._result(key), event.customdata
        if not 0 <= int(at) < len(found.parts):
            return note("This block has no such part.")
        one = found.parts[int(at)]
        inside = found.smallest is not None and int(at) in found.smallest.parts
        return note(_described(one, inside), tone="plain")

    def _write(self, key: str | None) -> str:
        found = self._result(key)
        return written_json("parts", found_parts(found, self._workbench.why_not_kept(found)))


def _map(found: Circuit) -> dict[str, Any]:
    from melbo_app.analysis.circuit_figure import MLP, Cell, circuit_figure  # late: plotly takes a second to import

    if not found.parts:
        return {}
    inside = set(found.smallest.parts) if found.smallest else set()
    cells = [
        Cell(
            one.block,
            MLP if one.kind == "mlp" else "attention" if one.head is None else str(one.head),
            one.attribution if one.exact is None else one.exact,
            one.exact is not None,
            at in inside,
        )
        for at, one in enumerate(found.parts)
    ]
    made = prompts_stamp([found.prompt], bank=found.bank, bank_hash=found.bank_hash, vectors=[found.vector])
    return {**figure_value(circuit_figure(cells)), "stamp": made}


def _table(found: Circuit) -> dict[str, Any]:
    """The parts with the largest effects."""
    inside = set(found.smallest.parts) if found.smallest else set()
    rows = [
        {
            "cells": [
                one.name, percent(one.attribution), percent(one.exact), percent(one.alone),
                "yes" if found.parts.index(one) in inside else "",
            ]
        }
        for one in found.exactly[:LISTED]
    ]  # fmt: skip
    return {"columns": COLUMNS, "figures": COLUMNS[1:4], "rows": rows} if rows else {"columns": []}


def _described(one: Part, inside: bool) -> str:
    what = f"head {one.head}" if one.kind == "head" else "MLP" if one.kind == "mlp" else "attention"
    exact = "not patched exactly" if one.exact is None else f"exactly {percent(one.exact)}, alone {percent(one.alone)}"
    ring = "; it is in the smallest set" if inside else ""
    return f"Block {one.block}, {what}: estimated {percent(one.attribution)}, {exact}{ring}."


def _texts(found: Circuit) -> list[str]:
    """The answers that are compared, and the texts that were written with the set and without it."""
    radius = f"at R {amount(abs(found.radius), 4)}"
    lines = [f"Steered answer, {radius}: {found.answers[0]}", f"Unsteered answer: {found.answers[1]}"]
    if found.measure.startswith("logits:"):
        lines = [f"Log-odds of “{found.answers[0]}” against “{found.answers[1]}”, in nats: "
                 f"{found.unsteered:+.2f} without steering, {found.steered:+.2f} {radius}."]  # fmt: skip
    one = found.smallest
    if one is not None and one.kept_text is not None and one.left_text is not None:
        lines += [f"With the set alone: {one.kept_text.text}", f"Without the set: {one.left_text.text}"]
    return lines
