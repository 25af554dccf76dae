"""Blind comparison: the second view of Label."""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import MelboError
from melbo_app.library.preferences import Against, Choice
from melbo_app.studies.blind import Pair
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.annotator_name import accepted, annotator_name
from melbo_app.ui.components.blind_pair import EMPTY, blind_pair, shown
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.present import vector_name
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

AGAINST = [("the unsteered text", "baseline"), ("a random vector’s text", "random")]
HOW = (
    "One of the two texts was written under a vector of the bank. Keys 1 to 4 answer. Everybody gets the same pairs, "
    "each once; the results count what people preferred."
)
COLUMNS = ["vector", "preferred", "95 %", "vector’s", "the other", "ties", "both bad"]
FIGURES = COLUMNS[1:]
# Only while the view is open: banks are chosen elsewhere, too, and the pairs of a bank are many lookups.
_WHEN_SEEN = """(bank, ...others) => {
  return [document.getElementById("blind-pair")?.offsetParent ? bank : null, ...others];
}"""
NONE_LEFT = "You have compared all pairs of this bank. Show the results, or choose another comparison or bank."
NO_PAIRS = "The bank has no such pairs yet: open Label and press “Steer it”, or steer with a random control in Read."


class BlindTab:
    """The view Blind comparison."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._kept = KeptForm("blind", for_any_model=True)
        self._pair = gr.State(None)
        with gr.Row(elem_classes="mx-fields"):
            self.against = choice("Compare each vector with", "blind-against", AGAINST, "baseline", 220)
            self.who = annotator_name(elem_id="blind-annotator", visible=not workbench.why_not("annotator_name"))
        note_view(note(HOW), elem_id="blind-how")
        self.view = blind_pair(elem_id="blind-pair")
        self.reveal = small_button("Show the results", "blind-results", 130)
        self.table = record_table({"columns": []}, elem_id="blind-table")

    def bind(self, rooms: Rooms) -> None:
        """Bind choosing; the view shows the next pair whenever it is opened or something is chosen."""
        session = self._session
        asked = [session.bank, self.against]
        shown: list[Block] = [self._pair, self.view, self.table]
        self._kept.bind([self.against], rooms.opened("blind"), lambda fields, _: fields, [], [])
        bind(rooms.opened("blind"), self._next, asked, shown, trigger_mode="always_last")
        bind(self.who.named, self._name, None, self.who)
        for trigger in (session.bank.change, self.against.input, self.who.changed):
            bind(trigger, self._next, asked, shown, trigger_mode="always_last", js=_WHEN_SEEN)
        bind(self.view.choose, self._choose, [self._pair, *asked], shown)
        bind(self.reveal.click, self._results, [session.bank, self.against], self.table)

    def _name(self, event: gr.EventData) -> dict[str, Any]:
        return accepted(self._workbench.annotator_name(str(event.name)))

    def _next(self, bank: str | None, against: Against | None) -> Changes:
        """The next pair; the results of another one are hidden."""
        hidden: Changes = {self.table: {"columns": []}}
        if bank is None or against is None or self._session.find(bank) is None:
            return {self._pair: None, self.view: {"message": EMPTY}, **hidden}
        try:
            pair, done, total = self._workbench.next_pair(bank, against, annotator(self._workbench) or None)
        except MelboError as error:  # nobody pressed a button
            return {self._pair: None, self.view: {"message": str(error)}, **hidden}
        return {self._pair: pair, self.view: shown(pair, done, total, NONE_LEFT if total else NO_PAIRS), **hidden}

    def _choose(self, event: gr.EventData, pair: Pair | None, bank: str | None, against: Against) -> Changes:
        if pair is not None:
            who = annotator(self._workbench) or None
            self._workbench.prefer(bank_chosen(bank), pair, _choice(str(event.choice), pair), who)
        return self._next(bank, against)

    def _results(self, bank: str | None, against: Against) -> dict[str, Any]:
        name = bank_chosen(bank)
        names = self._session.names(name)
        rows = []
        for one in self._workbench.standings(name, against):
            low, high = one.interval
            share = "–" if one.share is None else f"{one.share:.0%}"
            counts = [one.preferred, one.other, one.ties, one.both_bad]
            cells = [vector_name(one.vector, names), share, f"{low:.0%} – {high:.0%}", *map(str, counts)]
            rows.append({"cells": cells})
        return {"columns": COLUMNS, "figures": FIGURES, "rows": rows, "message": "Nothing was compared yet."}


def _choice(letter: str, pair: Pair) -> Choice:
    """What a press means, now that the order may be known."""
    if letter in ("tie", "bad"):
        return "tie" if letter == "tie" else "both bad"
    return "vector" if (letter == "b") == pair.swapped else "other"
