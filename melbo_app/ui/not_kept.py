"""A line above the tabs while something could not be stored, with a button that tries again."""

import gradio as gr
from gradio.blocks import Block

from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import small_button
from melbo_app.ui.guard import Changes, bind
from melbo_app.workbench import Workbench


class NotKeptLine:
    """Shown while results are in memory only; the server itself tries to store them every half a minute."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        with gr.Row(visible=False, elem_id="not-kept", elem_classes="mx-toolbar", equal_height=True) as self.row:
            self.message = note_view(elem_id="not-kept-note")
            self.again = small_button("Save again", "not-kept-save", 110)
        self.outputs: list[Block] = [self.row, self.message]

    def bind(self) -> None:
        """Bind the button."""
        bind(self.again.click, self._save_again, None, self.outputs)

    def look(self) -> Changes:
        """Show the results that wait to be stored."""
        lines = self._workbench.not_kept()
        changes: Changes = {self.row: gr.Row(visible=bool(lines))}
        return {**changes, self.message: note(*lines)} if lines else changes

    def _save_again(self) -> Changes:
        self._workbench.save_waiting()
        gr.Info("Everything is stored.", duration=2)
        return self.look()
