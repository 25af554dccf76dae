"""What stands below the form of the room Label: guidelines, the label's history, and how far annotators agree."""

from typing import Any

import gradio as gr

from melbo_app.library.label import LabelVersion, said
from melbo_app.studies.disagreements import NAMELESS
from melbo_app.studies.label_agreement import alpha_line
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.markdown_text import markdown_text, written
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.guard import bind
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.guidelines import EMPTY
from melbo_app.workbench import Workbench

COLUMNS = ["when", "who", "name", "tags", "rating", "note"]
WIDE = ["name", "tags", "note"]
MOST_SHOWN = 100
_WHEN_SEEN = "(bank) => [document.getElementById('label-agreement-lines')?.offsetParent ? bank : null]"
ABOUT = (
    "Krippendorff’s alpha of what each said before seeing the others: 1 where all agree, 0 where they might as well "
    "have guessed. Ratings count by their order, tags as sets that may agree in part (MASI). The interval is that of "
    "drawing other vectors."
)


class LabelAside:
    """Three parts that open on demand."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        with gr.Accordion("Guidelines", open=False, elem_id="label-guidelines"):
            self.guidelines = markdown_text(elem_id="label-guidelines-text")
        with gr.Accordion(
            "History of this label", open=False, elem_id="label-changes", visible=not workbench.why_not("label_changes")
        ):
            self.history = record_table({"columns": []}, elem_id="label-history")
        with gr.Accordion(
            "Agreement", open=False, elem_id="label-agreement", visible=not workbench.why_not("label_agreement")
        ) as self.agreeing:
            self.agreement = note_view(elem_id="label-agreement-lines")

    def bind(self, rooms: Rooms, saved: gr.State) -> None:
        """Show the guidelines with the room, and the agreement when it is asked for; it follows what is ``saved``."""
        bind(rooms.opened("label"), self._guidelines, None, self.guidelines)
        bind(self.agreeing.expand, self._agreement, self._session.bank, self.agreement)
        bind(saved.change, self._agreement, self._session.bank, self.agreement, js=_WHEN_SEEN)

    def changes(self, bank: str, vector: int) -> dict[str, Any]:
        """The history of a vector's labels, as far as this browser's annotator may see it."""
        if self._workbench.why_not("label_changes"):
            return {"columns": []}
        found = self._workbench.label_changes(bank, vector, annotator(self._workbench))
        rows = [{"cells": _cells(one)} for one in found[:MOST_SHOWN]]
        return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "message": "It was never labelled."}

    def _guidelines(self) -> dict[str, Any]:
        return written(self._workbench.guidelines().text, EMPTY)

    def _agreement(self, bank: str | None) -> dict[str, Any]:
        if bank is None or self._session.find(bank) is None:
            return note("Choose a bank.")
        found = self._workbench.label_agreement(bank)
        people = ", ".join(f"{one.name or NAMELESS} {one.labelled}" for one in found.annotators)
        to_settle = f"{len(found.disagreements)} to settle, {found.settled} settled"
        alphas = [alpha_line("Ratings", found.ratings), alpha_line("Tags", found.tags)]
        return note(f"Labelled: {people or 'nothing'}", *alphas, to_settle, tone="plain", about=ABOUT)


def _cells(version: LabelVersion) -> list[str]:
    who = version.annotator or version.author or NAMELESS
    stars = "★" * (version.rating or 0)
    name = version.name if any(said(version)) else "(removed)"
    return [
        day(version.updated), f"{who}, settled" if version.settled else who, name, ", ".join(version.tags), stars,
        version.note,
    ]  # fmt: skip
