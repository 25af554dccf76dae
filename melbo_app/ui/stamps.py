"""The strips above results: what they compare with, and putting back what made a result."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.ui.forms import SEPARATOR
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench

_DECODING = """(max_new_tokens, mode, temperature, top_p, seed) => {
  const rest = mode === 'greedy' ? { temperature: 0 } : { temperature, top_p, seed };
  if (mode) melbo.select({ decoding: { max_new_tokens, ...rest } });
}"""


class Stamps:
    """Binds the strips of all views."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions = workbench, session, completions
        self._words = {"system": session.system, "template": session.template, "scope": session.scope}
        fields: list[Any] = completions.decoding_inputs[:5]
        self._outputs: list[Block] = [*session.prompt_inputs, session.scope, *session.bank_outputs, *fields]
        self._fields = fields
        for field in fields:
            self.tell(field.change)

    def tell(self, trigger: Callable[..., Any]) -> None:
        """Bind an event after which the strips compare with the decoding in the fields, in the browser alone."""
        bind(trigger, None, self._fields, None, js=_DECODING)

    def bind(self, *strips: gr.HTML) -> None:
        """Bind the button that puts back what made a result."""
        for strip in strips:
            bind(strip.restore, self._restore, None, self._outputs)

    def _restore(self, event: gr.EventData) -> Changes:
        stamp: dict[str, Any] = event.stamp
        session = self._session
        changes: Changes = {}
        if stamp.get("prompts"):
            changes[session.prompt] = SEPARATOR.join(stamp["prompts"])
        changes |= {field: stamp[name] for name, field in self._words.items() if name in stamp}
        if stamp.get("bank_hash"):
            changes |= self._bank(stamp)
        if stamp.get("decoding"):
            changes |= self._decoding(stamp["decoding"])
        return changes

    def _bank(self, stamp: dict[str, Any]) -> Changes:
        """The bank with the stamp's hash, whatever it is called by now."""
        line = self._workbench.bank_with(stamp["bank_hash"])
        if line is None:
            name = f"“{stamp['bank']}”" if stamp.get("bank") else "The bank"
            message = f"{name} no longer exists with the vectors that made this."
            gr.Warning(html.escape(message), title="Not all is restored", duration=12)
            return {}
        radii = stamp.get("radii")
        return self._session.open_bank(line.name, stamp.get("vectors"), radii[0] if radii else None)

    def _decoding(self, decoding: dict[str, Any]) -> Changes:
        completions, sampled = self._completions, bool(decoding.get("temperature"))
        changes: Changes = {
            completions.max_tokens: decoding.get("max_new_tokens"),
            completions.mode: "sampled" if sampled else "greedy",
        }
        if sampled:
            changes |= {completions.temperature: decoding["temperature"], completions.top_p: decoding.get("top_p")}
            changes[completions.seed] = decoding.get("seed")
        return changes
