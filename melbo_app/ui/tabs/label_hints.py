"""What helps to name a vector: the tokens that it makes likelier, and names of vectors with similar texts."""

from typing import Any

import gradio as gr

from melbo_app.errors import MelboError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.top_tokens import TopTokens
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.name_list import names
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.guard import bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import token_name
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

TOKENS = 8  # of each kind, promoted and suppressed
# Only while the room is open: banks are chosen elsewhere, too, and the answer costs a pass through the model.
_WHEN_SEEN = """(bank, vector) => {
  const room = document.getElementById("label-room");
  return [room?.offsetParent ? bank : null, vector];
}"""


class LabelHints:
    """The tokens, below the evidence; the names are in the form."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self.tokens = note_view(elem_id="label-tokens")

    def bind(self, rooms: Rooms, of: gr.HTML, vector: gr.Number, list_of_names: gr.HTML) -> None:
        """Show both for another ``vector``, whenever the form holds its label."""
        for trigger, only in ((rooms.opened("label"), None), (of.change, _WHEN_SEEN)):
            asked = [self._session.bank, vector]
            bind(trigger, self._top_tokens, asked, self.tokens, trigger_mode="always_last", js=only)
            bind(trigger, self._similar, asked, list_of_names, trigger_mode="always_last", js=only)

    def _similar(self, bank: str | None, vector: float | None) -> dict[str, Any]:
        """Names that were given to vectors with similar texts."""
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors:
            return {}
        try:
            me = annotator(self._workbench)
            return names(self._workbench.similar_labels(bank, within(vector, line.vectors), seen_by=me))
        except MelboError:  # nobody asked for them
            return {}

    def _top_tokens(self, bank: str | None, vector: float | None) -> dict[str, Any]:
        """The tokens that the vector makes likelier after its prompts; nothing if the loaded model cannot tell."""
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors or not self._workbench.model_state().loaded:
            return note()
        try:
            study = TopTokens(bank=bank, vectors=[within(vector, line.vectors)], count=TOKENS)
            [found] = result_of(self._workbench.run(study, stop=leaving()))
        except MelboError:  # a bank of another model, or of the last block
            return note()
        kinds = (("More", found.promoted), ("Less", found.suppressed))
        return note(*(f"{how} likely next: {' · '.join(token_name(text) for text, _ in some)}" for how, some in kinds))


def within(vector: float | None, count: int) -> int:
    """The number of a vector; past the end it is the last one's."""
    return min(max(0, int(vector or 0)), count - 1)
