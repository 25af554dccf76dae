"""Generality: do the chosen vectors work on prompts they were not trained on?"""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.generality import Generality
from melbo_app.library.prompt_sets import SHIPPED, SetPrompt, joined, parse_prompts
from melbo_app.studies.generality import RANDOM, GeneralityProgress, MeasureGenerality
from melbo_app.ui.components.generality import generality_grid, grid, group_table, vector_table
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, number, whole_number
from melbo_app.ui.forms import bank_chosen, chosen, decoding_from, radii_of, template_of, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.own_prompts import OWN, content_of, read_upload
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.ui.taking import take
from melbo_app.workbench import Workbench

EMPTY = (
    "Press Measure to answer each prompt of the sets without steering, under each chosen vector, and under "
    "random vectors of the same R. The share of answers that change says how general a vector is."
)


class GeneralityTab(HistoryTab):
    """The tab Generality."""

    kind = "generality"
    stopped = "Stopped before the first prompt was finished: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        self._toolbar("generality", "Measure")
        with gr.Row(elem_classes="mx-fields"):
            self.sets = gr.CheckboxGroup(
                list(SHIPPED), value=["refused", "everyday"], label="Prompt sets", elem_id="generality-sets",
                scale=4, min_width=440,
            )  # fmt: skip
            self.random = whole_number("Random vectors", "generality-random", RANDOM, 110)
            self.tokens = whole_number("Max new tokens", "generality-tokens", 40, 110)
        with gr.Row(elem_classes="mx-fields"):
            self.mode = gr.Radio(
                ["greedy", "sampled"], value="greedy", label="Decoding", elem_id="generality-mode", min_width=206
            )
            self.temperature = number("Temperature", "generality-temperature", 0.8, step=0.1, interactive=False)
            self.top_p = number("Top-p", "generality-top-p", 0.95, step=0.05, interactive=False)
            self.seed = whole_number("Seed", "generality-seed", 0, 80)
            self.samples = whole_number("Texts a cell", "generality-samples", 1, 96, interactive=False)
            self.history = choice("Earlier results", "generality-history", [], None, 220, scale=4)
        with gr.Accordion("Your own prompts", open=False, elem_id="generality-own-panel"):
            self.own = gr.Textbox(
                label="One per line, or JSONL with “prompt” and “group”",
                lines=4,
                max_lines=10,
                elem_id="generality-own",
            )
            self.upload = gr.UploadButton(
                "Read a file", file_types=[".txt", ".jsonl", ".ndjson", ".json"], elem_id="generality-upload", size="sm"
            )
        self.table = record_table({"columns": []}, elem_id="generality-table")
        self.grid = generality_grid({"message": EMPTY}, elem_id="generality-grid", start="generality-start")
        self.groups = record_table({"columns": []}, elem_id="generality-groups")

        self.job_outputs: list[Block] = [
            self.shown, self.progress, self.table, self.grid, self.groups, self.history,
        ]  # fmt: skip

    def bind(self, rooms: Rooms, completions: CompletionsTab) -> None:
        """Bind measuring and own prompts; when the view is opened, the last result is shown."""
        session = self._session
        inputs = [
            session.system, session.template, session.bank, session.vectors, session.radius, self.sets, self.own,
            self.random, self.tokens, self.mode, self.temperature, self.top_p, self.seed, self.samples,
        ]  # fmt: skip
        sampling = [self.temperature, self.top_p, self.samples]
        bind(self.mode.change, lambda mode: dict.fromkeys(sampling, gr.Number(interactive=mode == "sampled")),
             self.mode, sampling)  # fmt: skip
        self._bind_history(rooms.opened("generality"), inputs, [self.table, self.grid, self.groups])
        bind(self.upload.upload, self._read, self.upload, self.own)
        self._rooms = rooms
        bind(self.grid.use, self._use, [self.shown], session.bank_outputs)
        outputs = [*rooms.outputs, *session.prompt_inputs, *session.bank_outputs]
        completions.steer_after(bind(self.grid.open, self._open, [self.shown], outputs).success)

    def _use(self, event: gr.EventData, key: str | None) -> Changes:
        """Choose a vector, at the R at which it was tried."""
        found = self._result(key)
        vector = int(event.vector)
        radius = next((one.radius for one in found.vectors if one.vector == vector), None)
        return take(self._workbench, self._session, found.bank_hash, [vector], radius)

    def _open(self, event: gr.EventData, key: str | None) -> Changes:
        """The same with the prompt of the cell, which is steered then."""
        prompt = self._result(key).prompts[int(event.prompt)].prompt
        return {
            **self._rooms.show("completions"),
            **self._session.prompt_values([prompt]),
            **self._use(event, key),
        }

    def _study(self, values: Values) -> MeasureGenerality:
        session = self._session
        name, radii = bank_chosen(values[session.bank]), radii_of(values[session.radius])
        texts = self._prompts(values[self.sets] or [], values[self.own])
        how = (values[field] for field in (self.tokens, self.mode, self.temperature, self.top_p, self.seed))
        decoding = decoding_from(*how, control=True)
        return MeasureGenerality(
            bank=name,
            prompts=self._workbench.asked(texts, values[session.system], template_of(values[session.template])),
            vectors=chosen(values[session.vectors]),
            radius=None if radii is None else radii[0],
            random=whole("random vectors", values[self.random]),
            samples=whole("texts a cell", values[self.samples]) if decoding.temperature else 1,
            decoding=decoding,
        )

    def _prompts(self, sets: list[str], own: str | None) -> list[SetPrompt]:
        parts = [self._workbench.prompt_set(sets)] if sets else []
        if own and own.strip():
            parts.append(parse_prompts(content_of(own), OWN, shown="your prompts"))
        if not parts:
            raise InputError("prompts", "none are chosen", "Choose a set, or write your own")
        return joined(parts)

    def _read(self, path: str | None) -> Any:
        """Put the prompts of a file into the field, where they can be changed."""
        if path is None:
            return gr.skip()
        return read_upload(path, lambda data, name: parse_prompts(data, OWN, shown=name))

    def _found(self) -> Listed[Generality]:
        return self._workbench.generalities()

    def _part(self, progress: GeneralityProgress) -> Generality | None:
        return progress.found

    def _draw(self, job: Job[Any, Any], part: Generality, values: Values) -> Changes:
        return self._show(part, texts=False)

    def _show(self, found: Generality, *, texts: bool = True) -> Changes:
        names = self._session.names(found.bank, found.bank_hash)
        made = {
            "bank": found.bank, "bank_hash": found.bank_hash, "vectors": [one.vector for one in found.vectors],
            "radii": [] if found.radius is None else [found.radius], "model": found.model,
            "model_hash": found.model_hash,
        }  # fmt: skip
        drawn = {**grid(found, names, texts=texts), "stamp": made}
        return {self.table: vector_table(found, names), self.grid: drawn, self.groups: group_table(found)}

    def _summary(self, found: Generality) -> str:
        prompts = f"{len(found.prompts)} prompts"
        if not found.finished:
            prompts = f"{len(found.prompts)} of {len(found.asked)} prompts, stopped"
        if found.samples > 1:
            prompts += f", {found.samples} texts each"
        return f"“{found.bank}” on {prompts}; the model refuses {found.refused} of them without steering."

    def _empty(self) -> Changes:
        return {self.table: vector_table(None, {}), self.grid: {"message": EMPTY}, self.groups: group_table(None)}

    def _line(self, found: Generality) -> str:
        sets = ", ".join(dict.fromkeys(one.set or "prompts" for one in found.prompts))
        radius = "own R" if found.radius is None else f"R {found.radius:.4g}"
        vectors = f"{len(found.vectors)} vector{'s' * (len(found.vectors) != 1)}"
        texts = f" × {found.samples}" * (found.samples > 1)
        return f"{day(found.created)} · {found.bank} · {vectors}, {radius} · {sets} ({len(found.prompts)}{texts})"
