"""Look for: vectors whose texts show something, beside random vectors that are searched as hard."""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.finds import Candidate, Find
from melbo_app.library.job_records import JobRecord
from melbo_app.studies.find import FindProgress, FindTexts
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button, text, whole_number
from melbo_app.ui.forms import bank_chosen, optional_real, optional_whole, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import amount, day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.ui.taking import take
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

KINDS = [
    ("a meaning, as a sentence", "meaning"),
    ("words, as a regular expression", "regex"),
    ("a flag", "flag"),
    ("a question to the judge", "judge"),
]
NEW, CHOSEN = "new", "chosen"
FROM = [("new ones, by the form", NEW), ("those of the bank above", CHOSEN)]
MEASURED, GIVEN = "measured", "given"
RADII = [("six, around where texts change", MEASURED), ("six, around R of the form", GIVEN)]
COLUMNS = ["vector", "R", "score", "kept out", "text"]
FIGURES = ["R", "score", "kept out"]
EMPTY = (
    "Write what the texts should show, and press Look. Many vectors at six R answer the prompt above in a few tokens, "
    "the promising ones are read further, and random vectors are searched in the same way. This takes some minutes."
)
CLICK = "Click a line to read its texts."
RANDOM_SHOWN = 3


class LookForTab(HistoryTab):
    """The view Look for."""

    kind = "find"
    stopped = "Stopped before a round was finished: the bank and the texts are kept."

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, form: TrainingForm) -> None:
        super().__init__(workbench, session)
        self._completions, self._form = completions, form
        with gr.Row(elem_classes="mx-fields"):
            self.kind_of = choice("Look for", "look-kind", KINDS, "meaning", 190)
            self.wanted = text("What the texts should show", "look-text", "It says that it is a person.", 260, scale=4)
        with gr.Row(elem_classes="mx-fields"):
            self.held_out = gr.Textbox(
                label="Prompts to confirm it on, one per line", lines=2, max_lines=6, elem_id="look-held-out", scale=4,
                min_width=260,
            )  # fmt: skip
            self.vectors = choice("Vectors", "look-vectors", FROM, NEW, 180)
            self.radius = choice("R", "look-radius", RADII, MEASURED, 190)
        with gr.Row(elem_classes="mx-fields"):
            self.tokens = whole_number("Max new tokens", "look-tokens", 40, 110)
            self.samples = text("Texts of each prompt", "look-samples", "3, or 1 for several prompts", 150)
            self.history = choice("Earlier searches", "look-history", [], None, 240, scale=3)
        self._toolbar("look", "Look")
        self.said = note_view(note(EMPTY), elem_id="look-said")
        self.table = record_table({}, elem_id="look-table", start="look-start")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = small_button("Use for steering", "look-use", 130)
            self.open = small_button("Open in Read", "look-open", 120)
        self.texts = note_view(note(), elem_id="look-texts")
        self._line_of = gr.State(None)  # the key of the line that is chosen
        self.fields: list[Component] = [
            self.kind_of, self.wanted, self.held_out, self.vectors, self.radius, self.tokens, self.samples,
        ]  # fmt: skip

    def bind(self, rooms: Rooms) -> None:
        """Bind looking and what can be done with a result; the last one is shown when the view is opened."""
        session, completions = self._session, self._completions
        views: list[Block] = [self.said, self.table, self.texts, self._line_of]
        inputs = [*self._form.inputs, session.scope, session.bank, *self.fields]
        self._bind_history(rooms.opened("look"), inputs, views, session.bank)
        self._rooms = rooms
        bind(self.table.pick, self._pick, [self.shown], [self.texts, self._line_of])
        chosen = {self.shown, self._line_of}
        bind(self.use.click, self._use, chosen, session.bank_outputs)
        bind(self.open.click, self._open, chosen, [*rooms.outputs, *completions.opened_outputs])
        self.job_outputs: list[Block] = [self.shown, self.progress, *views, self.history]

    def show_job(self, record: JobRecord) -> Changes:
        """Show what a job found, in ``job_outputs``: the search whose texts it stored."""
        every = self._found()
        found = next((one for one in every if one.comparison == record.comparison), None)
        if found is None:
            raise InputError("search", "it is no longer kept", "Run the job again")
        return {**self._chosen(found), **self._list(every, found.key)}

    def _study(self, values: Values) -> FindTexts:
        form, how = self._form, dict[str, Any]()
        if values[self.vectors] == CHOSEN:
            how["bank"] = bank_chosen(values[self._session.bank])
        else:
            source, target = form.pair(values)
            budget = optional_real("effect budget", values[form.how.saturation])
            how |= {**form.explored(values), "source": source, "target": target, "effect_budget": budget}
            how["scope"] = values[self._session.scope]
        if values[self.radius] == GIVEN:
            how["radius"] = real("R", values[form.radius])
        wanted = (values[self.wanted] or "").strip()
        if not wanted:
            raise InputError("look for", "it is empty", "Write what the texts should show")
        return FindTexts(
            prompts=self._session.prompts(values),
            score=f"{values[self.kind_of]}:{wanted}",
            held_out=[line.strip() for line in (values[self.held_out] or "").splitlines() if line.strip()],
            samples=optional_whole("texts of each prompt", values[self.samples]),
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            **how,
        )

    def _found(self) -> Listed[Find]:
        return self._workbench.finds()

    def _part(self, progress: FindProgress) -> tuple[str, ...]:
        return getattr(progress, "lines", ())

    def _draw(self, job: Job[Any, Any], part: tuple[str, ...], values: Values) -> Changes:
        return {self.said: note(*part, tone="plain")}

    def _begun(self) -> Changes:
        return {**super()._begun(), self.said: note(), self.table: {}, self.texts: note(), self._line_of: None}

    def _made(self, job: Job[Any, Any], result: Find, values: Values, is_drawn: bool) -> Changes:
        return {**super()._made(job, result, values, is_drawn), self._session.bank: self._session.list_banks()}

    def _halted(self, drawn: Any, values: Values) -> Changes:
        return {**super()._halted(drawn, values), self._session.bank: self._session.list_banks()}

    def _show(self, found: Find) -> Changes:
        rows = [_row("without", "without steering", "", found.baseline, found.held_out_baseline, found.baseline_texts)]
        rows += [_candidate(f"v{at}", f"vector {one.vector}", one) for at, one in enumerate(found.candidates)]
        rows += [
            _candidate(f"r{at}", f"random vector {one.vector}", one)
            for at, one in enumerate(found.random[:RANDOM_SHOWN])
        ]
        made = prompts_stamp(found.prompts, model=found.model, model_hash=found.model_hash)
        table = {"columns": COLUMNS, "wide": ["text"], "figures": FIGURES, "rows": rows, "stamp": made}
        return {
            self.said: note(found.score, found.sentence, tone="plain"),
            self.table: table, self.texts: note(CLICK), self._line_of: None,
        }  # fmt: skip

    def _summary(self, found: Find) -> str:
        return f"{len(found.candidates)} read to the end, {found.seconds:.0f} s"

    def _empty(self) -> Changes:
        return {self.said: note(EMPTY), self.table: {}, self.texts: note(), self._line_of: None}

    def _line(self, found: Find) -> str:
        prompt = first_line(found.prompts[0].user, 30)
        return f"{day(found.created)} · {first_line(found.score, 40)} · {prompt} · {found.best.score:.2f}"

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show the texts of a line."""
        found, line = self._result(key), str(event.key)
        one = None if line == "without" else self._candidate(found, line)
        texts = found.baseline_texts if one is None else one.texts
        elsewhere = () if one is None else one.held_out_texts
        prompts = [prompt.user for prompt in found.prompts]
        lines = [f"“{prompts[at % len(prompts)]}”: {said}" for at, said in enumerate(texts)]
        lines += [f"Kept out, “{prompt.user}”: {said}" for prompt, said in zip(found.held_out, elsewhere, strict=False)]
        return {self.texts: note(*lines, tone="plain"), self._line_of: line}

    def _use(self, values: Values) -> Changes:
        """Choose the vector, at its R."""
        found = self._result(values[self.shown])
        one = self._steerable(found, values[self._line_of])
        return take(self._workbench, self._session, found.bank_hash, [one.vector], one.radius)

    def _open(self, values: Values) -> Changes:
        """Open the texts of the survivors in Read, with the vector chosen."""
        found, completions = self._result(values[self.shown]), self._completions
        return {
            **self._rooms.show("completions"),
            completions.history: completions.choices(found.comparison),
            **completions.restore(found.comparison),
            **self._use(values),
        }

    def _steerable(self, found: Find, line: str | None) -> Candidate:
        """The vector of the chosen line; the winner if none is chosen."""
        if line is not None and not line.startswith("v"):
            raise InputError("vector", "this line has none of the bank", "Choose a line with one")
        return found.best if line is None else self._candidate(found, line)

    def _candidate(self, found: Find, line: str) -> Candidate:
        some = found.candidates if line.startswith("v") else found.random
        at = int(line[1:])
        if at >= len(some):
            raise InputError("line", "it is no longer there", "Choose another one")
        return some[at]

    def _result(self, key: str | None) -> Find:
        found = next((one for one in self._found() if one.key == key), None)
        if found is None:
            raise InputError("search", "none is shown", "Press Look, or choose an earlier one")
        return found


def _candidate(key: str, name: str, one: Candidate) -> dict[str, Any]:
    return _row(key, name, amount(one.radius), one.score, one.held_out, one.texts)


def _row(
    key: str, name: str, radius: str, score: float, held_out: float | None, texts: tuple[str, ...]
) -> dict[str, Any]:
    kept = "" if held_out is None else f"{held_out:.2f}"
    return {"key": key, "cells": [name, radius, f"{score:.2f}", kept, first_line(texts[0], 160)]}
