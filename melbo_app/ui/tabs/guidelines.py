"""Guidelines: what the annotators of this library agreed on; written in Library, read in Label."""

import gradio as gr

from melbo_app.library.guidelines import MOST, GuidelinesVersion
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.markdown_text import markdown_text, written
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import small_button
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.workbench import Workbench

EMPTY = "Nobody has written guidelines yet. They are written in Library, Guidelines."
HOW = (
    "What should a name say? Which tags are there, and what does each mean? When is a vector worth 5, when 1? "
    "Markdown; HTML in it stays text."
)


class GuidelinesTab:
    """The view Guidelines of Library."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._seen = gr.State(0)  # the number of the version that the field was filled with
        refused = workbench.why_not("save_guidelines")
        note_view(note(refused or HOW), elem_id="guidelines-how")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=1, min_width=300, visible=not refused):
                self.text = gr.Textbox(
                    label="Guidelines", lines=18, max_lines=30, max_length=2 * MOST, elem_id="guidelines-text"
                )
                with gr.Row(elem_classes="mx-toolbar"):
                    self.save = gr.Button("Save", variant="primary", elem_id="guidelines-save", min_width=90, scale=0)
                    self.again = small_button("Read again", "guidelines-again", 90)
            with gr.Column(scale=1, min_width=300):
                self.view = markdown_text(elem_id="guidelines-view")
                self.standing = note_view(elem_id="guidelines-standing")

    def bind(self, rooms: Rooms) -> None:
        """Bind saving; what is written and not saved stays in the field until it is read again."""
        shown = [self.text, self._seen, self.view, self.standing]
        bind(rooms.opened("guidelines"), self._open, [self.text, self._seen], shown)
        bind(self.again.click, self._read, None, shown)
        bind(self.save.click, self._save, [self.text, self._seen], shown)
        bind(self.text.change, written, self.text, self.view, trigger_mode="always_last")

    def _open(self, text: str | None, seen: int) -> Changes:
        now = self._workbench.guidelines()
        if not text or (seen == now.id and text == now.text):
            return self._shown(now)
        return {self.standing: _standing(now)}

    def _read(self) -> Changes:
        return self._shown(self._workbench.guidelines())

    def _save(self, text: str | None, seen: int) -> Changes:
        saved = self._workbench.save_guidelines(text or "", annotator(self._workbench), seen)
        gr.Info("The guidelines are saved.", duration=2)
        return self._shown(saved)

    def _shown(self, now: GuidelinesVersion) -> Changes:
        return {
            self.text: now.text,
            self._seen: now.id,
            self.view: written(now.text, EMPTY),
            self.standing: _standing(now),
        }


def _standing(now: GuidelinesVersion) -> dict[str, object]:
    who = f" by {now.author}" if now.author else ""
    return note(f"Saved{who} on {day(now.updated)}." if now.updated else "")
