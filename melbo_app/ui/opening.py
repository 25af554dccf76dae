"""What a newly opened page shows."""

import html
from typing import Any

import gradio as gr

from melbo_app.errors import MelboError, StorageError
from melbo_app.ui.guard import Changes
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import sentence
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench


class Opening:
    """The comparison and the context line of a page that opens."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions = workbench, session, completions

    def shown(self, kept: Any) -> Changes:
        """Show what the window showed before, or what a link names; else the latest comparison, or the first bank."""
        kept = kept if isinstance(kept, dict) else {}
        run, asked = kept.get("run"), kept.get("asked") or {}
        shown = self._run(run) if isinstance(run, int | float) else None
        if shown is None and "run" in asked:
            gr.Warning(f"The link names run {run:g}, which no longer exists.", title="Not shown", duration=12)
        if shown is not None and "run" in asked:  # the run itself says what it was made with
            kept = {**asked, "prompt": shown[self._session.prompt], "bank": asked.get("bank"), "template": None}
            words = None if asked.get("bank") is None else self._session.kept_values(kept)
            words = {part: words[part] for part in self._session.bank_outputs} if words else None
        else:
            words = self._session.kept_values(kept)
        return {**(shown or self._latest()), **(words or {})}

    def _run(self, run: float) -> Changes | None:
        """An earlier comparison, if it exists and can be read."""
        try:
            return {
                **self._completions.restore(int(run)),
                self._completions.history: self._completions.choices(int(run)),
            }
        except MelboError:
            return None

    def _latest(self) -> Changes:
        recent, history = self._workbench.comparisons(), self._completions.history
        tell(recent.damaged)
        for line in recent:
            try:
                changes = self._completions.restore(line.id)
            except StorageError as error:  # perhaps the one before can be read
                gr.Warning(html.escape(sentence(str(error))), title="Not shown", duration=12)
                continue
            if line.bank is None or self._session.find(line.bank) is None:
                changes |= self._session.open_bank(self._session.first_bank())
            return {**changes, history: self._completions.choices(line.id)}
        first = self._session.first_bank()
        sample = self._session.find(first)
        prompts = sample.record.prompts if sample is not None and sample.record is not None else []
        shown = {**self._session.prompt_values(prompts), **self._session.open_bank(first)}
        return {**shown, history: self._completions.choices()}
