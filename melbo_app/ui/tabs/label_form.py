"""The form of the room Label. It belongs to the label from which it was filled, and saves only over that one."""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.library.label import Label, LabelChanged, may_see
from melbo_app.library.label_readings import newest
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.given_labels import fields, given, given_labels
from melbo_app.ui.components.label_clash import clash, label_clash
from melbo_app.ui.components.label_trial import result
from melbo_app.ui.components.name_list import name_list
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import small_button
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values
from melbo_app.workbench import Workbench

RATINGS = [("none", 0), *((str(stars), stars) for stars in range(1, 6))]
KEYS = "Enter saves and goes on; Alt+1 to 5 rate. Outside a field (Esc): 1 to 5 rate, S skips, U undoes."
MOST_UNDONE = 20  # saves that one page can take back

TO_SETTLE = "Take one of them, or write another label: it is the vector’s from then on."
WAITING = "Somebody else has labelled this vector. Save your label to see theirs."

Held = dict[str, Any]
"""Whose label the form holds: bank, its hash, vector, annotator, whether it ``settles`` what several said, and the
fields as filled."""


class LabelForm:
    """Name, tags, rating and note of one vector."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.of = note_view(elem_id="label-of")
        self.given = given_labels(elem_id="label-given")
        self.clash = label_clash(elem_id="label-clash")
        self.name = gr.Textbox(label="Name", max_lines=1, elem_id="label-name", placeholder="its effect")
        self.read = note_view(elem_id="label-read")
        self.names = name_list(elem_id="label-names")
        self.suggestion = name_list(elem_id="label-suggestion")
        self.tags = gr.Dropdown([], label="Tags", multiselect=True, allow_custom_value=True, elem_id="label-tags")
        self.rating = gr.Radio(RATINGS, value=0, label="Rating", elem_id="label-rating")
        self.note = gr.Textbox(label="Note", lines=2, max_lines=6, elem_id="label-note")
        with gr.Row(elem_classes="mx-toolbar", elem_id="label-buttons"):
            self.save_on = gr.Button("Save and go on", variant="primary", elem_id="label-save-next", scale=3)
            self.save = gr.Button("Save", elem_id="label-save", scale=1, min_width=60)
        with gr.Row(elem_classes="mx-toolbar", elem_id="label-more"):
            self.skip = small_button("Skip", "label-skip", 60)
            self.undo = small_button("Undo the last save", "label-undo", 120)
            self.discard = small_button("Discard", "label-discard", 70)
            self.test = small_button("Test it yourself", "label-test", 110)
        note_view(note(KEYS), elem_id="label-keys")
        self.fields: list[Component] = [self.name, self.tags, self.rating, self.note]
        # The line above the fields names their vector, and is sent with them: a state may be newer than they are.
        self.inputs: list[Component] = [self.of, *self.fields]
        self.outputs: list[Block] = [*self.inputs, self.clash, self.given, self.read]

    def filled(self, bank: str, vector: int, undo: list[Held], *, settles: bool = False) -> Changes:
        """The stored label of this browser's annotator, or the one that ``settles`` what several said; ``undo`` are the
        saves that the page can take back."""
        me, bench = annotator(self._workbench), self._workbench
        label = bench.settled_label(bank, vector) if settles else bench.own_label(bank, vector, me)
        held = {"bank": bank, "hash": bench.bank(bank).hash, "vector": vector, "fields": fields(label)}
        held |= {"annotator": me, "settles": settles}
        why_not = bench.why_not("settle_label" if settles else "save_label", None if settles else (bank, vector))
        title = f"Vector {vector} of “{bank}”" + (": what counts for all" if settles else "")
        return {
            self.of: {**note(title, why_not), "held": held, "undo": undo},
            **self.written(fields(label)),
            self.clash: {},
            self.given: self._beside(bank, vector, me, settles),
            self.read: self._read(bank, vector, label.name),
        }

    def _read(self, bank: str, vector: int, name: str) -> dict[str, Any]:
        """How well people told the vector's texts by this name."""
        return note(*map(result, newest(self._workbench.label_readings(bank), vector, name)))

    def written(self, said: list[Any]) -> Changes:
        """The fields with these values."""
        name, tags, rating, words = said
        offered = gr.Dropdown(choices=self._workbench.tags(), value=list(tags))
        return {self.name: name, self.tags: offered, self.rating: rating, self.note: words}

    def _beside(self, bank: str, vector: int, me: str, settles: bool) -> dict[str, Any]:
        """The labels of all annotators, as far as this one may see them."""
        every = self._workbench.given_labels(bank, vector, me, settling=True)
        shown = settles or may_see(every, me)
        waiting = WAITING if not shown and any(one.annotator != me for one in every) else ""
        may = not self._workbench.why_not("settle_label")
        message = TO_SETTLE if settles else waiting
        return given(every if shown else [], settling=settles, may_settle=may, message=message)

    def empty(self) -> Changes:
        """No vector's label."""
        tags = gr.Dropdown(choices=[], value=[])
        nothing: Changes = {self.name: "", self.tags: tags, self.rating: 0, self.note: "", self.clash: {}}
        return {self.of: note(), **nothing, self.given: {}, self.read: note()}

    def held(self, values: Values) -> Held | None:
        """Whose label the form holds; None before the first."""
        return held_by(values[self.of])

    def undoable(self, values: Values) -> list[Held]:
        """The saves of this page that can be taken back, the last one last."""
        of = values[self.of]
        return list(of.get("undo") or []) if isinstance(of, dict) else []

    def edited(self, values: Values) -> bool:
        """Whether the form was changed since it was filled; one that was never shown sends None."""
        held = self.held(values)
        name, tags, rating, words = (values[field] for field in self.fields)
        return held is not None and name is not None and [name, tags or [], rating or 0, words or ""] != held["fields"]

    def keep(self, values: Values, seen: list[Any] | None = None) -> list[Held]:
        """Save the form to the vector for which it was filled, whatever bank and number are chosen by now; returns the
        saves that can be taken back. Raises LabelChanged if the stored label is neither ``seen`` nor, without that, the
        one from which the form was filled."""
        held = self.held(values) or {}
        bank, vector = bank_chosen(held.get("bank")), held.get("vector", 0)
        if self._workbench.bank(bank).hash != held["hash"]:
            raise InputError(
                "label", f"another bank has replaced “{bank}”", "Press Discard, and choose the vector again"
            )
        before = held["fields"] if seen is None else seen
        saved = self._write(held, [values[field] for field in self.fields], before)
        gr.Info(f"The label of vector {vector} is {'settled' if held['settles'] else 'saved'}.", duration=2)
        return [*self.undoable(values), {**held, "fields": before, "saved": fields(saved)}][-MOST_UNDONE:]

    def take_back(self, step: Held) -> bool:
        """Restore the label from before a save; False if somebody has changed it since."""
        try:
            self._write(step, step["fields"], step["saved"])
        except LabelChanged:
            gr.Warning(f"Not undone: the label of vector {step['vector']} was changed meanwhile.", duration=8)
            return False
        gr.Info(f"The label of vector {step['vector']} is as it was before.", duration=2)
        return True

    def both(self, changed: LabelChanged, values: Values) -> Changes:
        """The stored label beside the form, which stays as it is."""
        return {self.clash: clash(changed.stored, [values[field] for field in self.fields])}

    def _write(self, held: Held, written: list[Any], seen: list[Any]) -> Label:
        name, tags, rating, words = written
        said = {"name": name, "tags": tags or [], "rating": rating or None, "note": words}
        save = self._workbench.settle_label if held["settles"] else self._workbench.save_label
        try:
            return save(held["bank"], held["vector"], **said, annotator=held["annotator"], seen=_label(held, seen))
        except LabelChanged:
            raise
        except InputError as error:
            raise InputError(f"label of vector {held['vector']}, {error.field}", error.problem, error.remedy) from error


def held_by(of: Any) -> Held | None:
    """Whose label the form holds, from the line above its fields."""
    return of.get("held") if isinstance(of, dict) else None


def _label(held: Held, written: list[Any]) -> Label:
    """The label of a vector with these fields."""
    name, tags, rating, words = written
    said = {"name": name, "tags": tuple(tags), "rating": rating or None, "note": words}
    return Label(bank=held["bank"], bank_hash=held["hash"], vector=held["vector"], **said)
