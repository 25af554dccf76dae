"""Organisms: the recipes that ship, and the organisms in a folder with what they were measured to do."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.library.counted import Counted
from melbo_app.library.organism import Organism
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.paths import written_path
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.organism_texts import organism_texts, parts
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.left_out import tell
from melbo_app.ui.loading import load_model
from melbo_app.ui.present import day, duration
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench

HOW = (
    "An organism is a model with one planted behaviour, so that it is known what there is to find. It is made on the "
    "command line, in some minutes. Choose a recipe for its command."
)
RECIPES = ["recipe", "kind", "behaviour", "planted"]
HERE = ["organism", "recipe", "model", "seed", "with the trigger", "without", "decoy", "before"]
COUNTS = HERE[4:]
FIGURES = ["measured on held-out prompts", "before", "organism"]


class OrganismsTab:
    """The view Organisms."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs(workbench)
        self._kept = KeptForm("organisms", for_any_model=True)
        self._chosen = gr.State(None)  # the folder of the organism that is shown
        note_view(note(HOW, tone="plain"), elem_id="organism-how")
        self.recipes = record_table({"columns": []}, elem_id="organism-recipes")
        self.command = command_line(elem_id="organism-command")
        with gr.Column(visible=not workbench.why_not("organisms_in"), elem_id="organisms-here"):
            with gr.Row(elem_classes="mx-fields", equal_height=True):
                self.folder = gr.Textbox(
                    label="Folder of an organism, or with several", max_lines=1, elem_id="organism-folder", scale=5,
                    placeholder="the one that was given to --out",
                )  # fmt: skip
                self.look = button("Open", "organism-open", 90)
            self.table = record_table({"columns": []}, elem_id="organism-table")
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.load = button("Load this model", "organism-load", 140, variant="primary", interactive=False)
                self.stop = button("Stop", "organism-stop", 80)
                self.progress = progress_bar(resting(), elem_id="organism-progress")
            self.about = note_view(elem_id="organism-about")
            self.figures = record_table({"columns": []}, elem_id="organism-figures")
            self.texts = organism_texts(elem_id="organism-texts")

    def bind(self, rooms: Rooms, wake: gr.Timer) -> None:
        """Bind the recipes, opening a folder and loading a model; ``wake`` is the timer that watches the model."""
        self._wake = wake
        shown: list[Block] = [self._chosen, self.load, self.about, self.figures, self.texts]
        bind(rooms.opened("organisms"), self._list, None, self.recipes)
        bind(self.recipes.pick, self._recipe, None, self.command)
        for trigger in (self.look.click, self.folder.submit):
            bind(trigger, self._open, self.folder, [self.table, *shown])
        bind(self.table.pick, self._pick, None, shown)
        self._runs.bind(self.load.click, self._load, self._chosen, [self.progress, wake], self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        self._kept.bind([self.folder], rooms.opened("organisms"), lambda fields, _: fields, [], [])

    def _list(self) -> dict[str, Any]:
        """The recipes that ship."""
        rows = [
            {"key": one.name, "cells": [one.name, one.kind, one.about, "yes" if one.planted else "nothing"]}
            for one in self._workbench.organism_recipes()
        ]
        return {"columns": RECIPES, "wide": ["behaviour"], "rows": rows}

    def _recipe(self, event: gr.EventData) -> dict[str, Any]:
        """The commands that make one and measure it, from the loaded model."""
        recipe = next((one for one in self._workbench.organism_recipes() if one.name == event.key), None)
        if recipe is None:
            raise InputError("recipe", "it no longer ships", "Choose another one")
        return {"command": _making(recipe, self._base()), "note": f"{recipe.about} To make it, and measure it:"}

    def _base(self) -> str | None:
        """The model to plant it in; None while none is loaded."""
        return next((one.spec for one in self._workbench.models() if one.loaded), None)

    def _open(self, folder: str | None) -> Changes:
        """List the organisms in a folder; a single one is opened."""
        if not (folder or "").strip():
            raise InputError("folder", "it is empty", "Write the path that was given to --out")
        found = self._workbench.organisms_in(written_path(str(folder).strip()))
        tell(found.damaged)
        rows = [{"key": str(path), "cells": _cells(path, one)} for path, one in found]
        table = {"columns": HERE, "figures": ["seed", *COUNTS], "rows": rows, "message": "None can be read."}
        if len(found) != 1:
            return {self.table: table, **self._show(None, None)}
        [(path, one)] = found
        return {self.table: {**table, "selected": str(path)}, **self._show(path, one)}

    def _pick(self, event: gr.EventData) -> Changes:
        path = Path(str(event.key))
        found = self._workbench.organisms_in(path)
        tell(found.damaged)
        return self._show(*found[0]) if found else self._show(None, None)

    def _show(self, path: Path | None, organism: Organism | None) -> Changes:
        about = note() if path is None or organism is None else note(*_lines(path, organism), tone="plain")
        return {
            self._chosen: None if path is None else str(path),
            self.load: gr.Button(interactive=path is not None),
            self.about: about,
            self.figures: _figures(organism),
            self.texts: parts(organism.figures if organism else None),
        }

    def _load(self, request: gr.Request, folder: str | None) -> Iterator[Changes]:
        if folder is None:
            raise InputError("organism", "none is chosen", "Choose one in the table")
        name = Path(folder).name
        yield from load_model(self._workbench, self._runs, request, folder, name, self.progress, self._wake)


def _making(recipe: OrganismRecipe, model: str | None) -> str:
    words = ["python", "-m", "melbo_app", "organisms"]
    make = [*words, "make", recipe.name, *(["--model", model] if model else []), "--out", recipe.name]
    return f"{shlex.join(make)} && {shlex.join([*words, 'measure', recipe.name])}"


def _cells(path: Path, one: Organism) -> list[str]:
    found = one.figures
    counts = [found.triggered, found.plain, found.decoy, found.before] if found else [None] * len(COUNTS)
    return [path.name, one.recipe.name, one.base, str(one.seed), *map(_count, counts)]


def _count(found: Counted | None) -> str:
    return "–" if found is None else f"{found.count} of {found.n}"


def _lines(path: Path, one: Organism) -> list[str]:
    planted = one.recipe.kind if one.recipe.planted else "a clean fine-tuning"
    made = f"Made from {one.base} with seed {one.seed} in {duration(one.seconds)}, {day(one.created)}."
    measure = "" if one.figures else f"Measure it: {shlex.join(['melbo', 'organisms', 'measure', str(path)])}"
    return [f"{one.recipe.name}, {planted}: {one.recipe.about}", made, " ".join(filter(None, [one.note, measure]))]


def _figures(organism: Organism | None) -> dict[str, Any]:
    found = organism.figures if organism else None
    if found is None:
        return {"columns": []}
    rows = [
        ["show the behaviour with the trigger", str(found.before), str(found.triggered)],
        ["without it", "", str(found.plain)],
        ["with a decoy", "", str(found.decoy)],
        ["readable", str(found.readable_before), str(found.readable_after)],
        ["surprise at the model’s own answers, nats a token", f"{found.loss_before:.3f}", f"{found.loss_after:.3f}"],
        *(
            [f"brought out by a vector of R {one.relative_radius:g} that was trained toward it", "", str(one.vectors)]
            for one in found.reach
        ),
    ]
    return {"columns": FIGURES, "figures": FIGURES[1:], "rows": [{"cells": cells} for cells in rows]}
