"""Start: what this is, shown on a sample; examples; and recent work."""

from typing import Any

import gradio as gr

from melbo_app.library.completion import Comparison, ComparisonSummary
from melbo_app.library.label import Label
from melbo_app.ui.components.start_view import start_view
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import amount, day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench

STORY = "who-are-you"
"""The sample whose texts tell how it works; another one where it is missing."""
RUNS, EXAMPLES, NAMED = 8, 8, 4


class StartTab:
    """The room Start."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions = workbench, session, completions
        self.view = start_view(elem_id="start-view")

    def bind(self, rooms: Rooms) -> None:
        """Bind opening runs and samples; whenever the room is opened, it shows the newest ones."""
        completions, self._rooms = self._completions, rooms
        bind(rooms.opened("start"), self._show, None, self.view)
        outputs = [*rooms.outputs, *completions.opened_outputs]
        bind(self.view.run, self._open_run, None, outputs)
        bind(self.view.sample, self._open_sample, None, outputs)

    def _show(self) -> dict[str, Any]:
        samples = [found for line in self._workbench.banks() if line.sample and (found := self._sample(line.name))]
        told = next((one for one in samples if one["bank"] == STORY), next(iter(samples), None))
        new = {one.comparison: one.new for one in self._workbench.explorations()}
        return {
            "story": told and told["story"],
            "examples": [{key: one[key] for key in ("bank", "prompt", "found")} for one in samples[:EXAMPLES]],
            "runs": [_run(line, new.get(line.id)) for line in self._workbench.comparisons(limit=RUNS)],
        }

    def _sample(self, bank: str) -> dict[str, Any] | None:
        """What a sample's stored texts and labels tell; None for samples without texts."""
        made = self._workbench.sample_comparison(bank)
        labels = self._workbench.bank_labels(bank)
        story = _story(bank, made, labels) if made and labels else None
        if made is None or story is None:
            return None
        best = sorted(labels.values(), key=lambda label: -(label.rating or 0))
        return {"bank": bank, "prompt": made.completions[0].prompt.user, "story": story,
                "found": [{"name": one.name, "rating": one.rating or 0} for one in best[:NAMED]]}  # fmt: skip

    def _open_run(self, event: gr.EventData) -> Changes:
        return self._open(int(event.run))

    def _open_sample(self, event: gr.EventData) -> Changes:
        made = self._workbench.sample_comparison(str(event.bank))
        if made is None:
            return {**self._session.open_bank(str(event.bank)), **self._rooms.show("completions")}
        return self._open(made.id)

    def _open(self, comparison: int) -> Changes:
        completions = self._completions
        shown = {completions.history: completions.choices(comparison), **completions.restore(comparison)}
        return {**shown, **self._rooms.show("completions")}


def _story(bank: str, made: Comparison, labels: dict[int, Label]) -> dict[str, Any] | None:
    """One prompt without steering, under the best vector, under a random one, and the label that a person gave."""
    baseline = next((one for one in made.completions if one.vector is None), None)
    control = next((one for one in made.completions if one.vector == "random"), None)
    best = max(labels, key=lambda vector: labels[vector].rating or 0)
    steered = next((one for one in made.completions if one.vector == best), None)
    if baseline is None or steered is None:
        return None
    label = labels[best]
    return {
        "bank": bank,
        "prompt": baseline.prompt.user,
        "model": baseline.model,
        "baseline": baseline.text,
        "vector": best,
        "radius": amount(steered.radius),
        "steered": steered.text,
        "control": control.text if control else None,
        "name": label.name,
        "rating": label.rating or 0,
        "note": label.note,
    }


def _run(line: ComparisonSummary, new: int | None) -> dict[str, Any]:
    """A recent run in words that tell it from others."""
    radii, vectors = line.settings.get("radii"), line.settings.get("vectors")
    parts = [line.bank or "unsteered"]
    if line.bank and radii:
        parts.append("R " + ", ".join(amount(radius) for radius in radii[:3]) + (" …" if len(radii) > 3 else ""))
    if line.bank and vectors is not None:
        parts.append(f"{len(vectors)} vector{'s' * (len(vectors) != 1)}")
    if new is not None:
        parts.append(f"{new} new behaviour{'s' * (new != 1)}")
    return {"run": line.id, "prompt": first_line(line.prompt, 80), "parts": parts, "date": day(line.created)}
