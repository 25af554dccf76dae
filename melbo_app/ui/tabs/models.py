"""Models: the one in memory, and loading another."""

from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.guard import bind
from melbo_app.workbench import Workbench

COLUMNS = ["model", "what to give", "state"]
WIDE = ["model", "what to give"]


class ModelsTab:
    """The eighth tab."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.details = note_view(elem_id="model-details")
        with gr.Row(elem_classes="mx-fields", equal_height=True):
            self.spec = gr.Textbox(
                label="Load another model", placeholder="hub name, folder or .gguf file", elem_id="model-spec", scale=5
            )
            self.load = gr.Button("Load", variant="primary", elem_id="model-load", scale=0, min_width=110)
        self.progress = progress_bar(resting(), elem_id="model-progress")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="model-table")
        self.outputs = [self.details, self.table]

    def bind(self, tab: gr.Tab, wake: gr.Timer) -> None:
        """Bind loading; ``wake`` is the timer that watches it."""
        bind(tab.select, self.open, None, self.outputs)
        bind(self.table.pick, self._pick, None, self.spec)
        for trigger in (self.load.click, self.spec.submit):
            begun = bind(trigger, self._begin, self.spec, [self.progress, wake])
            loaded = bind(begun.success, self._load, self.spec, [*self.outputs, self.progress])
            bind(loaded.failure, lambda: resting("Not loaded; the model before stays."), None, self.progress)

    def open(self) -> list[Any]:
        """Values of ``outputs``."""
        rows = [
            {"key": model.spec, "cells": [model.name, model.spec, "loaded" if model.loaded else "ready to load"]}
            for model in self._workbench.models()
        ]
        state = self._workbench.model_state()
        return [note(*_details(state), tone="plain"), {"columns": COLUMNS, "wide": WIDE, "rows": rows}]

    def _pick(self, event: gr.EventData) -> str:
        return str(event.key)

    def _begin(self, spec: str) -> tuple[dict[str, Any], gr.Timer]:
        if not spec.strip():
            raise InputError("model", "nothing was given", "Write a hub name, a folder or a .gguf file")
        return working(f"loading {spec.strip()}"), gr.Timer(0.7)

    def _load(self, spec: str) -> list[Any]:
        state = self._workbench.load_model(spec.strip())
        return [*self.open(), resting(f"{state.name} is loaded.")]


def _details(state: ModelState) -> list[str]:
    if not state.loaded:
        return [f"{state.name} is not loaded" + (f": {state.error}" if state.error else " yet.")]
    template = "has a chat template" if state.has_template else "has no chat template"
    facts = [f"{state.blocks} blocks", f"hidden size {state.hidden_size}", f"context {state.context} tokens"]
    return [
        f"{state.name}: " + ", ".join(facts) + f", {state.dtype} on {state.device}, {template}.",
        f"Weights sha256 {state.weights_hash}",
    ]
