"""Models: the loaded one, the catalogue, and loading another."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.loaded_model import CatalogueLine, ModelState
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.library import model_catalogue
from melbo_app.library.fetch_progress import FetchProgress
from melbo_app.sizes import size_text
from melbo_app.ui.components.model_cards import model_cards
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import seconds_text
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import NOTHING_RUNS, Runs
from melbo_app.workbench import Workbench

COLUMNS = ["model", "name to load it", "state"]
WIDE = ["model", "name to load it"]


class ModelsTab:
    """The tab Models."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs(workbench)
        self.details = note_view(elem_id="model-details")
        self.cards = model_cards(elem_id="model-cards")
        with gr.Row(elem_classes="mx-fields", equal_height=True):
            self.spec = gr.Textbox(
                label="Load another model", placeholder=_placeholder(workbench.offered_models), elem_id="model-spec",
                scale=5,
            )  # fmt: skip
            self.load = button("Load", "model-load", 110, variant="primary")
            self.stop = button("Stop", "model-stop", 80)
        self.progress = progress_bar(resting(), elem_id="model-progress")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="model-table")
        self.outputs: list[Block] = [self.details, self.cards, self.table]

    def bind(self, rooms: Rooms, wake: gr.Timer) -> None:
        """Bind loading and downloading; ``wake`` is the timer that watches the model."""
        self._wake = wake
        self._bind(rooms.opened("models"), self._show, None)
        bind(self.table.pick, self._pick, None, self.spec)
        for trigger in (self.load.click, self.spec.submit):
            self._bind(trigger, self._take, self.spec)
        self._bind(self.cards.take, self._take_card, None)
        bind(self.cards.stop, self._stop_getting, None, self.progress)
        bind(self.stop.click, self._stop, None, self.progress)

    def _bind(self, trigger: Any, fn: Any, inputs: gr.Textbox | None) -> None:
        shown = [*self.outputs, self.progress, self._wake]
        run = bind(trigger, fn, inputs, shown, trigger_mode="multiple", concurrency_limit=8, concurrency_id="models")
        bind(run.failure, self._failed, None, [*self.outputs, self.progress])

    def open(self) -> Changes:
        """Show the models in ``outputs``."""
        rows = [
            {"key": model.spec, "cells": [model.name, model.spec, "loaded" if model.loaded else "ready to load"]}
            for model in self._workbench.models()
        ]
        return {
            self.details: note(*_details(self._workbench.model_state()), tone="plain"),
            self.cards: self._cards(),
            self.table: {"columns": COLUMNS, "wide": WIDE, "rows": rows},
        }

    def _cards(self) -> dict[str, Any]:
        return _cards(self._workbench.catalogue(), self._workbench.getting())

    def _show(self, request: gr.Request) -> Iterator[Changes]:
        """Show the models, and follow the download that runs, whoever started it."""
        yield self.open()
        getting = self._workbench.getting()
        if getting is not None and not self._runs.busy(request):
            yield from self._follow(request, getting)

    def _pick(self, event: gr.EventData) -> str:
        return str(event.key)

    def _take_card(self, request: gr.Request, event: gr.EventData) -> Iterator[Changes]:
        yield from self._take(request, str(event.key))

    def _take(self, request: gr.Request, spec: str) -> Iterator[Changes]:
        """Load a model; one of the catalogue is downloaded first if it is not here."""
        spec = spec.strip()
        if not spec:
            raise InputError("model", "it is empty", f"Write {_placeholder(self._workbench.offered_models)}")
        if self._workbench.is_absent(spec):
            yield from self._follow(request, self._workbench.start_getting(spec))
            return
        entry = model_catalogue.find(spec)
        with self._runs.start(request) as stop:
            yield {self.progress: working(f"loading {entry.name if entry else spec}"), self._wake: gr.Timer(0.7)}
            try:
                text = f"{self._workbench.load_model(spec, stop=stop.is_set).name} is loaded."
            except Stopped:
                if self._runs.replaced(request, stop):
                    return
                text = "Stopped; the previous model stays." if self._workbench.model_state().loaded else "Stopped."
            yield self._ended(text)

    def _follow(self, request: gr.Request, getting: ModelGetting) -> Iterator[Changes]:
        """Follow a download to its end; it goes on when the page is left."""

        def draw(step: Any) -> Changes:
            return {self.cards: self._cards(), self.progress: resting(), self._wake: gr.Timer(0.7)}

        if (yield from self._runs.follow(request, getting, self.progress, own=False, draw=draw)):
            name = getting.result.name if getting.result else None
            yield self._ended(f"{name} is loaded." if name else "Stopped: the downloaded part is kept.")

    def _stop(self, request: gr.Request) -> Any:
        return gr.skip() if self._runs.stop(request) else self._stop_getting()

    def _stop_getting(self) -> Any:
        getting = self._workbench.getting()
        if getting is None:
            return resting(NOTHING_RUNS)
        getting.stop()
        return gr.skip()

    def _failed(self) -> Changes:
        return self._ended("Not loaded; the previous model stays.")

    def _ended(self, text: str) -> Changes:
        return {**self.open(), self.progress: resting(text)}


def _placeholder(offered: list[str] | None) -> str:
    return "hub name, folder or .gguf file" if offered is None else f"one of {', '.join(offered)}"


def _cards(lines: list[CatalogueLine], getting: ModelGetting | None) -> dict[str, Any]:
    return {"models": [_card(line, getting) for line in lines]}


def _card(line: CatalogueLine, getting: ModelGetting | None) -> dict[str, Any]:
    entry, state, text = line.entry, str(line.state), "Ready" if line.state == "ready" else ""
    fraction: float | None = None
    if getting is not None and getting.key == entry.key:
        state, text = "getting", "Starting"
        if getting.progress is not None:
            text, fraction = _progress(getting.progress), getting.progress.done / max(1, getting.progress.total)
    elif line.state == "absent":
        state = "elsewhere" if getting is not None else state
        text = f"Not here: {size_text(entry.size)}" + (
            f", {size_text(line.kept)} already downloaded" if line.kept else ""
        )
    count = f"{entry.parameters / 1e9:.2g} B" if entry.parameters > 1e9 else f"{entry.parameters / 1e6:.0f} M"
    licence = entry.licence.replace("-", "\N{NON-BREAKING HYPHEN}")
    facts = [f"{count} parameters", f"{entry.blocks} blocks", f"d = {entry.hidden_size}", licence]
    return {
        "key": entry.key, "name": entry.name, "facts": " · ".join(facts), "good_for": entry.good_for,
        "warning": entry.warning, "state": state, "text": text, "fraction": fraction,
    }  # fmt: skip


def _progress(progress: FetchProgress) -> str:
    if progress.done >= progress.total:
        return progress.stage
    left = seconds_text(progress.seconds_left)
    stage = f"{progress.stage.rpartition(': ')[2]}, {100 * progress.done // max(1, progress.total)} %"
    return f"{stage}, {left}" if left else stage


def _details(state: ModelState) -> list[str]:
    if not state.loaded:
        return [f"{state.name} is not loaded" + (f": {state.error}" if state.error else " yet.")]
    template = "has a chat template" if state.has_template else "has no chat template"
    template = f"has the chat templates {', '.join(state.templates)}" if state.templates else template
    template += f", reading {', '.join(state.template_options)}" if state.template_options else ""
    facts = [f"{state.blocks} blocks", f"hidden size {state.hidden_size}", f"context {state.context} tokens"]
    return [
        f"{state.name}: " + ", ".join(facts) + f", {state.dtype} on {state.device}, {template}.",
        f"Weights sha256 {state.weights_hash}",
    ]
