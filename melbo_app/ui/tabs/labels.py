"""Labels: the effect of each vector in words."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.library.label import LabelChanged
from melbo_app.ui.components.annotator_name import accepted, annotator_name
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.left_out import tell
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.label_aside import LabelAside
from melbo_app.ui.tabs.label_draft import GIVE_BACK, KEEP, read_draft
from melbo_app.ui.tabs.label_evidence import NO_VECTOR, LabelEvidence
from melbo_app.ui.tabs.label_files import LabelFiles
from melbo_app.ui.tabs.label_form import Held, LabelForm, held_by
from melbo_app.ui.tabs.label_hints import LabelHints, within
from melbo_app.ui.tabs.label_places import LabelPlaces
from melbo_app.ui.tabs.label_queue import DISAGREEMENTS, LabelQueue
from melbo_app.ui.tabs.label_suggestions import LabelSuggestions
from melbo_app.ui.tabs.label_table import NO_BANK, label_table
from melbo_app.workbench import Workbench


class LabelsTab:
    """The room Label: the texts of a vector at the left, its label at the right, all labels below."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._saved = gr.State(None)  # when this page last saved a label
        self._kept, self._draft, self._places = KeptForm("label"), gr.JSON(visible=False), LabelPlaces()
        with gr.Column(elem_id="label-room"):
            self.who = annotator_name(elem_id="label-annotator", visible=not workbench.why_not("annotator_name"))
            queue = LabelQueue(workbench, session)
            self._queue, self.done, self.order, self.vector = queue, queue.done, queue.order, queue.vector
            with gr.Row(elem_classes="mx-split", elem_id="label-desk"):
                with gr.Column(scale=6, min_width=300, elem_id="label-evidence"):
                    self.evidence = LabelEvidence(workbench, session)
                    self.hints = LabelHints(workbench, session)
                with gr.Column(scale=5, min_width=300, elem_id="label-form"):
                    self.label_form = LabelForm(workbench)
                    self._suggestions = LabelSuggestions(workbench, session)
                    self.aside = LabelAside(workbench, session)
            self.table = record_table(NO_BANK, elem_id="label-table")
            self.files = LabelFiles(workbench, session)
        self.form: list[Component] = self.label_form.inputs
        self._asked = {session.bank, self.vector, self.order, self.label_form.clash, *self.form}
        self.outputs: list[Block] = [
            self.table, self.vector, *self.label_form.outputs, self.done, self.evidence.view, self._saved,
            self.aside.history,
        ]  # fmt: skip

    def bind(self, rooms: Rooms) -> None:
        """Bind choosing, saving and files; the view shows its newest state whenever it is opened."""
        session, form, asked, latest = self._session, self.label_form, self._asked, "always_last"
        renewed = bind(rooms.opened("label"), self._renew, asked, self.outputs)
        bind(renewed.then, self._put_back, [self._draft, session.bank], self.outputs, js=GIVE_BACK)
        for part in form.inputs:  # in the browser alone, so also without a connection
            bind(part.change, None, form.inputs, None, js=KEEP)  # type: ignore[attr-defined]
        bind(self.who.named, self._name, None, self.who)
        moves = [
            self._move_on(session.bank.change, self._follow),
            self._move_on(self.table.pick, self._pick, trigger_mode=latest),
            self._move_on(self.done.go, self._pick, trigger_mode=latest),
            self._move_on(self.vector.submit, self._go),
            self._move_on(self.vector.input, self._typed, trigger_mode=latest),
            self._move_on(self._queue.previous.click, self._back),
            self._move_on(self._queue.next.click, self._forth),
            self._move_on(form.save_on.click, self._go_on),
            self._move_on(form.skip.click, self._go_on),
            self._move_on(form.undo.click, self._undo),
            self._move_on(self.order.change, self._reorder),
            self._move_on(form.given.settle, self._settle),
            self._move_on(form.given.own, self._own),
            bind(self.who.changed, self._renamed, asked, self.outputs),  # shows what is chosen meanwhile
        ]
        for move in moves:
            bind(move.failure, self._stay, [session.bank, form.of], [self.table, self.vector, self.done])
        bind(form.save.click, self._save, asked, self.outputs)
        for leave in (form.discard.click, form.clash.theirs):
            bind(leave, self._discard, asked, self.outputs)
        bind(form.clash.mine, self._insist, asked, self.outputs)
        bind(self._saved.change, session.show_labels, [session.bank, session.radius], session.vectors)
        self.hints.bind(rooms, form.of, self.vector, form.names)
        bind(form.names.take, self._take_name, None, form.name)
        bind(form.given.take, self._take_label, None, form.fields)
        self.aside.bind(rooms, self._saved)
        self.evidence.bind(form.of)
        self._suggestions.bind(rooms, form, self.vector)
        self._kept.bind([self.order], rooms.opened("label"), lambda fields, _: fields, [], [])
        self.files.bind(self._renew, asked, self._saved, self.outputs)

    def _move_on(self, trigger: Callable[..., Any], move: Callable[..., Changes], **options: Any) -> Any:
        """Bind a move to another vector. Of moves that follow each other quickly, the last one counts."""
        return bind(trigger, self._places.in_turn(move, self._saved), self._asked, self.outputs, **options)

    def open(
        self, bank: str | None, vector: float | None = 0, undo: list[Held] | None = None, settles: bool = False
    ) -> Changes:
        """Show the label of a vector in ``outputs``; a number past the end is the last vector's. ``undo`` are the saves
        that the page can take back; ``settles``: the label that counts where several people gave one."""
        line = self._session.find(bank)
        if line is None or not line.vectors or bank is None:
            nothing: Changes = {self.vector: 0, self.done: {}, self.evidence.view: NO_VECTOR, self.aside.history: {}}
            return {self.table: NO_BANK, **nothing, **self.label_form.empty()}
        at = within(vector, line.vectors)
        self._places.note(bank, at)
        settles = settles and bool(self._workbench.given_labels(bank, at, "", settling=True))
        return {
            **self._place(bank, bank, at, settles),
            **self.label_form.filled(bank, at, undo or [], settles=settles),
            self.evidence.view: self.evidence.shown(bank, at),
            self.aside.history: self.aside.changes(bank, at),
        }

    def _place(self, chosen: str | None, bank: str, vector: int, settles: bool) -> Changes:
        """Show which vector's label the form holds, and how far its bank is labelled, or what is to settle; the table
        is that of the bank that is ``chosen``."""
        return {
            self.table: self._table(chosen, vector if chosen == bank else None),
            self.vector: vector,
            self.done: self._queue.progress(bank, vector, settles),
        }

    def _table(self, bank: str | None, selected: int | None) -> dict[str, Any]:
        return label_table(self._workbench, self._session, bank, selected)

    def move(self, bank: str | None, vector: float | None, values: Values) -> Changes:
        """Save the form, and show another vector in ``outputs``. If somebody else has changed the label meanwhile, the
        form stays, and both versions are shown."""
        return self._move(bank, vector, values, values.get(self.order) == DISAGREEMENTS)

    def _move(self, bank: str | None, vector: float | None, values: Values, settles: bool) -> Changes:
        if not self.label_form.edited(values):
            return self._open_again(bank, vector, values, settles)
        try:
            undo = self.label_form.keep(values)
        except LabelChanged as changed:
            return self._clashing(changed, values)
        return {**self.open(bank, vector, undo, settles), self._saved: datetime.now(UTC)}

    def _open_again(self, bank: str | None, vector: float | None, values: Values, settles: bool) -> Changes:
        """The same as ``open``, but fields that hold this very label stay: a person may be writing there."""
        changes, held = self.open(bank, vector, self.label_form.undoable(values), settles), self.label_form.held(values)
        if held is not None and held_by(changes[self.label_form.of]) == held:
            return {part: value for part, value in changes.items() if part not in self.form}
        return changes

    def _clashing(self, changed: LabelChanged, values: Values) -> Changes:
        held = values[self.label_form.of]["held"]
        return {**self._at(held["bank"], held), **self.label_form.both(changed, values)}

    def _at(self, bank: str | None, held: Held) -> Changes:
        return self._place(bank, held["bank"], held["vector"], held["settles"])

    def _renew(self, values: Values) -> Changes:
        """Show new banks and labels; changes in the form that were not saved stay."""
        bank, held = values[self._session.bank], self.label_form.held(values)
        if self._session.find(bank) is not None:
            tell(self._workbench.labels(bank=bank).damaged)
        at = held["vector"] if held is not None and held["bank"] == bank else None
        if self.label_form.edited(values):
            return {self.table: self._table(bank, at)}
        if held is None or at is None:
            settles = values.get(self.order) == DISAGREEMENTS
            return self._open_again(bank, self._next(bank, None, values), values, settles)
        return self._open_again(bank, at, values, held["settles"])

    def _put_back(self, kept: Any, bank: str | None) -> Changes:
        """Show what was written in this window and not saved, because the page was lost or left."""
        found = read_draft(kept, self._workbench)
        if found is None:
            return {}
        held, fields = found
        filled = self.label_form.filled(held["bank"], held["vector"], [], settles=held["settles"])
        if filled[self.label_form.of]["held"]["fields"] == fields:  # it had arrived after all
            return {}
        opened = self.open(held["bank"], held["vector"], [], held["settles"])
        gr.Info("What was written here before is back; it is not saved yet.", duration=5)
        of = {**opened[self.label_form.of], "held": held}
        return {**opened, **self._at(bank, held), **self.label_form.written(fields), self.label_form.of: of}

    def _name(self, event: gr.EventData) -> dict[str, Any]:
        return accepted(self._workbench.annotator_name(str(event.name)))

    def _renamed(self, values: Values) -> Changes:
        """Show the labels of the annotator that this browser names now; what was written was the other one's. A vector
        that was chosen meanwhile stays chosen, wherever its answer is."""
        bank, held, place = values[self._session.bank], self.label_form.held(values), self._places.last()
        if held is None:
            return {**self.move(bank, self._next(bank, None, values), values), self._saved: datetime.now(UTC)}
        place = place if place is not None and self._session.find(place[0]) else (held["bank"], held["vector"])
        changes = self.move(*place, values)
        while (chosen := self._places.last() or place) != place:
            changes, place = self.move(*chosen, values), chosen
        return {**changes, self._saved: datetime.now(UTC)}

    def _reorder(self, values: Values) -> Changes:
        """Another order was chosen: only disagreements need another form."""
        held, settles = self.label_form.held(values), values.get(self.order) == DISAGREEMENTS
        if held is None or held["settles"] == settles:
            return {}
        bank = held["bank"]
        if settles and not self._workbench.disagreements(bank):
            gr.Info("There is nothing to settle: no two people disagree.", duration=5)
            return {}
        return self.move(bank, self._next(bank, None, values) if settles else held["vector"], values)

    def _settle(self, values: Values) -> Changes:
        held = self.label_form.held(values) or {}
        return self._move(held.get("bank"), held.get("vector", 0), values, True)

    def _own(self, values: Values) -> Changes:
        held = self.label_form.held(values) or {}
        return self._move(held.get("bank"), held.get("vector", 0), values, False)

    def _follow(self, values: Values) -> Changes:
        """Another bank was chosen, or the same one again."""
        bank, held = values[self._session.bank], self.label_form.held(values)
        same = held is not None and held["bank"] == bank
        return self._renew(values) if same else self.move(bank, self._next(bank, None, values), values)

    def _next(self, bank: str | None, at: int | None, values: Values) -> int:
        return self._queue.following(bank, at, values.get(self.order))

    def _go_on(self, values: Values) -> Changes:
        """Save what was changed, and show the next vector in the chosen order."""
        held = self.label_form.held(values)
        if held is None:
            return self._renew(values)
        return self.move(held["bank"], self._next(held["bank"], held["vector"], values), values)

    def _undo(self, values: Values) -> Changes:
        """Take back this page's last save."""
        steps, held = self.label_form.undoable(values), self.label_form.held(values)
        if self.label_form.edited(values):
            raise InputError("label", "the form has changes that are not saved", "Save or discard them first")
        if not steps:
            gr.Info("Nothing was saved here that could be undone.", duration=3)
            return {} if held is None else self._at(values[self._session.bank], held)
        step = steps.pop()
        taken = self.label_form.take_back(step)
        changes = self.open(step["bank"], step["vector"], steps, step["settles"])
        return {**changes, self._saved: datetime.now(UTC)} if taken else changes

    def _go(self, values: Values, by: int = 0) -> Changes:
        return self.move(values[self._session.bank], (values[self.vector] or 0) + by, values)

    def _back(self, values: Values) -> Changes:
        return self._go(values, -1)

    def _forth(self, values: Values) -> Changes:
        return self._go(values, 1)

    def _typed(self, values: Values) -> Changes:
        """Show the vector of a number that a person may still be writing: the field stays."""
        changes = self._go(values)
        del changes[self.vector]
        return changes

    def _pick(self, event: gr.EventData, values: Values) -> Changes:
        return self.move(values[self._session.bank], int(event.key), values)

    def _stay(self, bank: str | None, of: Any) -> Changes:
        """Go back to the vector in the form, which could not be saved."""
        held = held_by(of)
        return {} if held is None else self._at(bank, held)

    def _save(self, values: Values, seen: list[Any] | None = None) -> Changes:
        try:
            undo = self.label_form.keep(values, seen)
        except LabelChanged as changed:
            return self._clashing(changed, values)
        held = values[self.label_form.of]["held"]
        return {**self.open(held["bank"], held["vector"], undo, held["settles"]), self._saved: datetime.now(UTC)}

    def _insist(self, values: Values) -> Changes:
        """Save the form over the version that is shown beside it."""
        return self._save(values, values[self.label_form.clash].get("fields"))

    def _discard(self, values: Values) -> Changes:
        """Show the label as it is stored by now; of the chosen bank, unless both versions of another one are shown."""
        bank, held = values[self._session.bank], self.label_form.held(values)
        if held is not None and (held["bank"] == bank or values.get(self.label_form.clash)):
            return self.open(held["bank"], held["vector"], self.label_form.undoable(values), held["settles"])
        return self.open(bank, 0, self.label_form.undoable(values))

    def _take_name(self, event: gr.EventData) -> str:
        return str(event.name)

    def _take_label(self, event: gr.EventData) -> Changes:
        return self.label_form.written(event.fields)
