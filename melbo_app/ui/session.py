"""What is steered: the prompt, the bank, its vectors and R, for all rooms."""

import functools
import html
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, MelboError, StorageError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.bank import BankRecord, BankSummary, PromptRecord
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.live import live
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.radius_slider import radius_slider
from melbo_app.ui.components.token_strip import strip, token_strip
from melbo_app.ui.components.vector_cards import vector_cards
from melbo_app.ui.fields import small_button
from melbo_app.ui.forms import OFF, ON, chosen, optional_layer, prompt_text, prompts_from, template_field
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import PROVENANCE_WORDS, bank_choices, provenance, sentence
from melbo_app.ui.vector_lines import measured_radii, vector_lines
from melbo_app.workbench import Workbench

TEMPLATES = [("as the model has it", ON), ("none", OFF)]
SCOPES = ["assistant", "content", "all", "last:4"]
# What is typed here is kept in the window, and compared with what made the results that it shows.
_TELL = """(prompt, system, template, scope) => {
  if (prompt !== '' || melbo.state.prompt) melbo.select({ prompt, system, template, scope });
}"""
_DRAWER = """() => {
  const open = document.getElementById('context').classList.toggle('mx-drawer-open');
  document.getElementById('prompt-more').setAttribute('aria-expanded', open);
}"""
FIRST_CHOICE = 8  # vectors selected in a bank that is opened for the first time


class Session:
    """The context line below the header, and the list of vectors at the left."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        with gr.Column(elem_id="context"):
            with gr.Row(elem_id="context-line", equal_height=False):
                self.prompt = gr.Textbox(
                    label="Prompt", lines=1, max_lines=8, elem_id="prompt", scale=1, min_width=200,
                    placeholder="a text for the model to answer; a line --- separates several",
                )  # fmt: skip
                self.more = small_button("⋯", "prompt-more", 30)
                self.bank = gr.Dropdown([], label="Bank", elem_id="bank", scale=0, min_width=170)
                self.count = live("vector_count", None, elem_id="vector-count")
                with gr.Column(elem_id="radius-panel", scale=0, min_width=0):
                    self.radius = radius_slider(elem_id="radius")
            with gr.Row(elem_id="system-panel"):
                with gr.Column(scale=5, min_width=280):
                    self.system = gr.Textbox(label="System text", lines=1, max_lines=6, elem_id="system")
                    with gr.Row(elem_classes="mx-fields"):
                        self.template = gr.Dropdown(
                            TEMPLATES, value=ON, label="Chat template", allow_custom_value=True, elem_id="template",
                            min_width=120,
                        )  # fmt: skip
                        self.scope = gr.Dropdown(
                            SCOPES, value=SCOPES[0], label="Scope: tokens that are steered", allow_custom_value=True,
                            elem_id="scope", min_width=120,
                        )  # fmt: skip
                with gr.Column(scale=6, min_width=280):
                    self.tokens = token_strip(elem_id="tokens")
        self.prompt_inputs: list[gr.Textbox | gr.Dropdown] = [self.prompt, self.system, self.template]

    def list_vectors(self) -> None:
        """Put the list of vectors into the place that is open."""
        with gr.Column(elem_id="vector-panel", min_width=0):
            self.provenance = note_view(elem_id="provenance")
            with gr.Row(elem_classes="mx-tight", equal_height=True):
                self.use_prompt = small_button("Use its prompt", "bank-prompt", 110)
                self.refresh = small_button("Read again", "bank-refresh", 90)
            self.vectors = vector_cards(elem_id="vector-cards")
        self.kept = gr.JSON(visible=False)  # what this window showed before it was opened again
        self.bank_inputs: list[gr.Dropdown | gr.HTML] = [self.bank, self.vectors, self.radius]
        self.bank_outputs: list[Block] = [self.bank, self.provenance, self.vectors, self.radius]

    def bind(self, layers: list[gr.Number], model: gr.State) -> None:
        """Bind the events between prompt, bank and vectors.

        ``layers`` are the fields for source and target, on which the scope ``content`` depends; ``model`` changes when
        another model is loaded.
        """
        fields: list[gr.Textbox | gr.Dropdown | gr.Number] = [*self.prompt_inputs, self.scope, *layers]
        # One event for all of them: answers to several could overtake one another.
        changed = functools.partial(gr.on, [field.change for field in (*fields, model)])
        self._layers = layers
        bind(changed, self._show_tokens, {*fields}, self.tokens, trigger_mode="always_last")
        words = [*self.prompt_inputs, self.scope]
        for part in words:  # in the browser alone
            bind(part.change, None, words, None, js=_TELL)
        bind(self.more.click, None, None, None, js=_DRAWER)
        # Not input: the list fires that twice for a choice, and also when it is only left.
        opened = [part for part in self.bank_outputs if part is not self.bank]
        bind(self.bank.change, self._open_chosen, [self.bank, self.radius], opened)
        bind(self.refresh.click, self.reopen_bank, self.bank_inputs, self.bank_outputs)
        bind(self.use_prompt.click, self._prompt_of, self.bank, self.prompt_inputs)

    def prompts(self, values: Values) -> list[Prompt]:
        """The prompts in the column. Raises InputError."""
        return prompts_from(values[self.prompt], values[self.system], values[self.template])

    def find(self, name: str | None) -> BankSummary | None:
        """The bank's line on the shelf, or None."""
        return next((line for line in self._workbench.banks() if line.name == name), None)

    def names(self, bank: str | None, bank_hash: str | None = None) -> dict[int, str]:
        """The label names of a bank's vectors; empty where the name now belongs to a bank other than ``bank_hash``."""
        line = self.find(bank)
        if bank is None or line is None or line.damaged:
            return {}
        try:
            held = self._workbench.bank(bank)
        except MelboError:  # its vectors are damaged; opening it says so
            return {}
        if bank_hash is not None and held.hash != bank_hash:
            return {}
        try:
            labels = self._workbench.bank_labels(bank, seen_by=annotator(self._workbench))
            return {vector: label.name for vector, label in labels.items()}
        except StorageError:  # the vectors' numbers will do
            return {}

    def open_bank(self, name: str | None, selected: list[int] | None = None, radius: float | None = None) -> Changes:
        """Show a bank; by default with its first vectors chosen and at its own R."""
        shelf = self._workbench.banks()
        line = next((one for one in shelf if one.name == name and one.record is not None), None)
        choices = bank_choices(shelf)
        if line is None or line.record is None:
            empty = note("Train a bank, or import one.") if not choices else note("Choose a bank.")
            return self._no_vectors(gr.Dropdown(choices=choices, value=None), empty)
        record = line.record
        try:
            held = self._workbench.bank(line.name)
        except MelboError as error:  # its vectors are damaged; the shelf does not read them
            warning = note(sentence(str(error)), tone="warning")
            return self._no_vectors(gr.Dropdown(choices=choices, value=line.name), warning)
        every = range(line.vectors)
        least, most = min(held.norms), max(held.norms)
        picked = [one for one in selected if one in every] if selected is not None else list(every[:FIRST_CHOICE])
        return {
            self.bank: gr.Dropdown(choices=choices, value=line.name),
            self.provenance: note(*provenance(line), about=PROVENANCE_WORDS),
            self.vectors: {**self._lines(line.name, record, line.vectors), "selected": picked},
            self.radius: {
                "bank": line.name,
                "hash": held.hash,
                "radius": record.radius if radius is None else radius,
                "trained": record.radius,
                "median": record.median_norm,
                "norms": [least, most] if least < most else None,
            },
        }

    def _no_vectors(self, banks: gr.Dropdown, why: dict[str, Any]) -> Changes:
        """Show no bank, and ``why``."""
        nothing: dict[str, list[int]] = {"vectors": [], "selected": []}
        return {self.bank: banks, self.provenance: why, self.vectors: nothing, self.radius: {}}

    def reopen_bank(self, name: str | None, vectors: dict[str, Any] | None, radius: dict[str, Any] | None) -> Changes:
        """Show the same bank and the same choice again: after banks came or went."""
        return self.open_bank(name, chosen(vectors), (radius or {}).get("radius"))

    def list_banks(self) -> gr.Dropdown:
        """The list of banks, samples of the loaded model first; the chosen bank stays."""
        return gr.Dropdown(choices=bank_choices(self._workbench.banks()))

    def _open_chosen(self, name: str | None, radius: dict[str, Any] | None) -> Changes:
        """Open the bank that was chosen in the list, unless the column shows it already.

        The list itself is no output: another bank may be chosen by now.
        """
        if name == (radius or {}).get("bank"):
            return {}
        changes = self.open_bank(name)
        del changes[self.bank]
        return changes

    def show_labels(self, name: str | None, radius: dict[str, Any] | None) -> Any:
        """The list of vectors with new names and ratings after a label was saved; the chosen vectors stay."""
        return self._renewed(name) if name == (radius or {}).get("bank") else gr.skip()

    def show_texts(self, name: str | None, drawn: dict[str, Any] | None) -> Any:
        """The list with the newest texts and runaways, and what is known of each R, if any of it is new; the chosen
        vectors stay."""
        if drawn is None or drawn.get("bank") != name:  # another bank is about to be opened
            return gr.skip()
        now = self._renewed(name)
        same = all(now.get(part) == drawn.get(part) for part in ("vectors", "measured"))
        return gr.skip() if same else now

    def _renewed(self, name: str | None) -> dict[str, Any]:
        """The list without a choice: the browser, in which others may be chosen by now, keeps its own."""
        line = self.find(name)
        return gr.skip() if line is None or line.record is None else self._lines(line.name, line.record, line.vectors)

    def _lines(self, name: str, record: BankRecord, vectors: int) -> dict[str, Any]:
        lines = vector_lines(self._workbench, name, record, vectors)
        return {"bank": name, "vectors": lines, "measured": measured_radii(self._workbench, name)}

    def first_bank(self) -> str | None:
        """The bank that is open at first."""
        return next((line.name for line in self._workbench.banks() if not line.damaged), None)

    def _show_tokens(self, values: Values) -> dict[str, Any]:
        """The tokens of the prompt, or the error, which does not merit a toast."""
        if not self._workbench.model_state().loaded:
            return {"message": "The tokens appear when the model is loaded."}
        scope = values[self.scope]
        try:
            between = [values[layer] for layer in self._layers]
            if scope != "content" or None in between:
                between = [None, None]
            layers = [optional_layer("layer", layer) for layer in between]
            found = self._workbench.tokens(self.prompts(values), scope, *layers, stop=leaving())
        except MelboError as error:
            return {"message": sentence(str(error))}
        return strip(found, scope)

    def kept_values(self, kept: Any) -> Changes | None:
        """Show what the window, or a link, says; None where that is nothing usable. Warns of what is gone."""
        if not isinstance(kept, dict):
            return None
        prompt, system, scope, name = words = [kept.get(key) for key in ("prompt", "system", "scope", "bank")]
        vectors, radius = kept.get("vectors"), kept.get("radius")
        if not all(word is None or isinstance(word, str) for word in words) or not (prompt or name):
            return None
        line = self.find(name)
        bank = name if line is not None else self.first_bank()
        chosen = [one for one in vectors if isinstance(one, int)] if isinstance(vectors, list) else None
        if name and line is None:
            _gone(f"The bank “{name}” no longer exists here: “{bank}” is shown.")
        elif chosen and line is not None and max(chosen) >= line.vectors > 0:
            _gone(f"“{name}” has {line.vectors} vectors: there is no vector {max(chosen)}.")
        as_before = bank == name
        radius = radius if as_before and isinstance(radius, int | float) else None
        opened = self.open_bank(bank, chosen if as_before else None, radius)
        if prompt is None:  # a link that names no text
            found = self.find(bank)
            return {**self.prompt_values(found.record.prompts if found and found.record else []), **opened}
        template = kept["template"] if isinstance(kept.get("template"), str) else ON
        written: Changes = {self.prompt: prompt, self.system: system or "", self.template: template}
        return {**written, self.scope: scope or SCOPES[0], **opened}

    def for_model(self, template: str, scope: str, kept: Any) -> Changes:
        """Change template and scope to those of the loaded model, unless they were chosen for it."""
        state = self._workbench.model_state()
        before = kept.get("fitted") if isinstance(kept, dict) else None  # the model that they were chosen for
        choices = template_choices(state)
        usual = template_field(state.usual_template or False)
        fits = template in (OFF, usual) or (before == state.weights_hash and template != ON)
        if not fits or before not in (None, state.weights_hash):
            return {self.template: gr.update(choices=choices, value=usual), self.scope: default_scope(usual)}
        changes: Changes = {self.template: gr.update(choices=choices)}
        if template == OFF and scope == default_scope(ON):
            changes[self.scope] = default_scope(OFF)
        return changes

    def prompt_values(self, prompts: Sequence[PromptRecord | Prompt]) -> Changes:
        """Show prompts; several share the system text and the template of the first."""
        if not prompts:
            return {self.prompt: "", self.system: "", self.template: ON}
        first = prompts[0]
        system, template = first.system or "", template_field(first.template)
        return {self.prompt: prompt_text(prompts), self.system: system, self.template: template}

    def _prompt_of(self, name: str | None) -> Changes:
        line = self.find(name)
        if line is None or line.record is None or not line.record.prompts:
            raise InputError("prompt", "the bank names no prompt that it was trained on", "Write one")
        return self.prompt_values(line.record.prompts)


def default_scope(template: str) -> str:
    """Without a chat template no token belongs to the assistant's tag."""
    return "last:4" if template == OFF else "assistant"


def template_choices(state: ModelState) -> list[tuple[str, str]]:
    """The choices for the chat template."""
    own = TEMPLATES[:1] if state.usual_template is True or not state.loaded else []
    return [*own, *((choice, choice) for choice in state.template_choices or ()), *TEMPLATES[1:]]


def _gone(message: str) -> None:
    gr.Warning(html.escape(message), title="Not shown", duration=12)
