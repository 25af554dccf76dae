"""Models: the one in memory, the catalogue, and loading another."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import CatalogueLine, ModelState
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.library import model_catalogue
from melbo_app.library.fetch_progress import FetchProgress
from melbo_app.sizes import size_text
from melbo_app.ui.components.model_cards import model_cards
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.guard import bind
from melbo_app.ui.present import seconds_text
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench

COLUMNS = ["model", "what to give", "state"]
WIDE = ["model", "what to give"]


class ModelsTab:
    """The ninth tab."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs()
        self.details = note_view(elem_id="model-details")
        self.cards = model_cards(elem_id="model-cards")
        with gr.Row(elem_classes="mx-fields", equal_height=True):
            self.spec = gr.Textbox(
                label="Load another model", placeholder=_placeholder(workbench.offered_models), elem_id="model-spec",
                scale=5,
            )  # fmt: skip
            self.load = gr.Button("Load", variant="primary", elem_id="model-load", scale=0, min_width=110)
        self.progress = progress_bar(resting(), elem_id="model-progress")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="model-table")
        self.outputs = [self.details, self.cards, self.table]

    def bind(self, tab: gr.Tab, wake: gr.Timer) -> None:
        """Bind loading and downloading; ``wake`` is the timer that watches the model."""
        shown = [*self.outputs, self.progress, wake]
        self._bind(tab.select, self._show, None, shown)
        bind(self.table.pick, self._pick, None, self.spec)
        for trigger in (self.load.click, self.spec.submit):
            self._bind(trigger, self._take, self.spec, shown)
        self._bind(self.cards.take, self._take_card, None, shown)
        bind(self.cards.stop, self._stop, None, self.progress)

    def _bind(self, trigger: Any, fn: Any, inputs: Any, shown: list[Any]) -> None:
        run = bind(trigger, fn, inputs, shown, trigger_mode="multiple", concurrency_limit=8, concurrency_id="models")
        bind(run.failure, self._failed, None, [*self.outputs, self.progress])

    def open(self) -> list[Any]:
        """Values of ``outputs``."""
        rows = [
            {"key": model.spec, "cells": [model.name, model.spec, "loaded" if model.loaded else "ready to load"]}
            for model in self._workbench.models()
        ]
        table = {"columns": COLUMNS, "wide": WIDE, "rows": rows}
        return [note(*_details(self._workbench.model_state()), tone="plain"), self._cards(), table]

    def _cards(self) -> dict[str, Any]:
        return _cards(self._workbench.catalogue(), self._workbench.getting())

    def _show(self, request: gr.Request) -> Iterator[list[Any]]:
        """The models, and the download that is under way, whoever began it."""
        yield [*self.open(), gr.skip(), gr.skip()]
        getting = self._workbench.getting()
        if getting is not None and not self._runs.busy(request):
            yield from self._follow(request, getting)

    def _pick(self, event: gr.EventData) -> str:
        return str(event.key)

    def _take_card(self, request: gr.Request, event: gr.EventData) -> Iterator[list[Any]]:
        yield from self._take(request, str(event.key))

    def _take(self, request: gr.Request, spec: str) -> Iterator[list[Any]]:
        """Load what is named; a model of the catalogue that is not here is downloaded first."""
        spec = spec.strip()
        if not spec:
            raise InputError("model", "nothing was given", f"Write {_placeholder(self._workbench.offered_models)}")
        if self._workbench.is_absent(spec):
            yield from self._follow(request, self._workbench.start_getting(spec))
            return
        nothing = [gr.skip()] * len(self.outputs)
        entry = model_catalogue.find(spec)
        yield [*nothing, working(f"loading {entry.name if entry else spec}"), gr.Timer(0.7)]
        state = self._workbench.load_model(spec)
        yield [*self.open(), resting(f"{state.name} is loaded."), gr.skip()]

    def _follow(self, request: gr.Request, getting: ModelGetting) -> Iterator[list[Any]]:
        """Show a download until it ends; it goes on when the page is left."""
        run = self._runs.follow(request, getting, own=False)
        for _ in run:
            yield [gr.skip(), self._cards(), gr.skip(), resting(), gr.Timer(0.7)]
        if not run.result:
            return
        message = f"{getting.result.name} is loaded." if getting.result else "Stopped: what was downloaded is kept."
        yield [*self.open(), resting(message), gr.skip()]

    def _stop(self) -> Any:
        getting = self._workbench.getting()
        if getting is None:
            return resting("Nothing is under way.")
        getting.stop()
        return gr.skip()

    def _failed(self) -> list[Any]:
        return [*self.open(), resting("Not loaded; the model before stays.")]


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
        text = f"Not here: {size_text(entry.size)}" + (f", {size_text(line.kept)} of them kept" if line.kept else "")
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
