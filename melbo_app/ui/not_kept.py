"""A line above the work that is there while something could not be stored, with a button that tries again."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.guard import bind
from melbo_app.workbench import Workbench


class NotKeptLine:
    """Shown while results are in memory alone; the server tries to store them by itself every half a minute."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        with gr.Row(visible=False, elem_id="not-kept", elem_classes="mx-toolbar", equal_height=True) as self.row:
            self.message = note_view(elem_id="not-kept-note")
            self.again = gr.Button("Save again", elem_id="not-kept-save", size="sm", scale=0, min_width=110)
        self.outputs = [self.row, self.message]

    def bind(self) -> None:
        """Bind the button."""
        bind(self.again.click, self._save_again, None, self.outputs)

    def look(self) -> list[Any]:
        """Values of ``outputs`` as things are now."""
        lines = self._workbench.not_kept()
        return [gr.Row(visible=bool(lines)), note(*lines) if lines else gr.skip()]

    def _save_again(self) -> list[Any]:
        self._workbench.save_waiting()
        gr.Info("All of it is stored.", duration=2)
        return self.look()
