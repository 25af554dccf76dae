"""The left column: prompt, vectors and R, for all tabs."""

import functools
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, MelboError, StorageError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.bank import BankSummary, PromptRecord
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.radius_slider import radius_slider
from melbo_app.ui.components.token_strip import strip, token_strip
from melbo_app.ui.components.vector_cards import vector_cards
from melbo_app.ui.effect_table import effect_lines
from melbo_app.ui.fields import small_button
from melbo_app.ui.forms import OFF, ON, chosen, optional_layer, prompt_text, prompts_from, template_field
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import bank_choices, provenance, sentence, vector_name
from melbo_app.workbench import Workbench

TEMPLATES = [("as the model has it", ON), ("none", OFF)]
SCOPES = ["assistant", "content", "all", "last:4"]
KEPT = "melbo-left-column"  # the browser's key for this column; it outlives the server
_KEEP = """(kept, prompt, system, template, scope, bank, vectors, radius) => prompt || bank
  ? { model: kept?.model, prompt, system, template, scope, bank, vectors, radius: radius?.radius } : kept"""
_TO_CARDS = "(vectors, cards) => ({ ...cards, selected: [...vectors].sort((one, other) => one - other) })"
_TO_LIST = "(cards) => [cards.selected]"
RAN_AWAY = {
    "trained": "on its training prompts",
    "held out": "on held-out prompts",
    "steered": "when it was used for steering",
}
FIRST_CHOICE = 8  # vectors selected in a bank that is opened for the first time


class Session:
    """The components of the left column."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        with gr.Column(elem_id="prompt-panel", elem_classes="mx-panel"):
            self.prompt = gr.Textbox(
                label="Prompt (a line --- separates several)", lines=2, max_lines=8, elem_id="prompt"
            )
            with gr.Accordion("System text, template, token scope", open=False, elem_id="system-panel"):
                self.system = gr.Textbox(label="System text", lines=2, max_lines=6, elem_id="system")
                self.template = gr.Dropdown(
                    TEMPLATES, value=ON, label="Chat template", allow_custom_value=True, elem_id="template"
                )
                self.scope = gr.Dropdown(
                    SCOPES, value=SCOPES[0], label="Token scope", allow_custom_value=True, elem_id="scope"
                )
            self.tokens = token_strip(elem_id="tokens")
        with gr.Column(elem_id="vector-panel", elem_classes="mx-panel"):
            with gr.Row(elem_classes="mx-tight", equal_height=True):
                self.bank = gr.Dropdown([], label="Bank", elem_id="bank", scale=6, min_width=120)
                self.use_prompt = small_button("its prompt", "bank-prompt", 76)
                self.refresh = small_button("↻", "bank-refresh", 34)
            self.provenance = note_view(elem_id="provenance")
            self.vectors = gr.Dropdown([], label="Vectors", multiselect=True, elem_id="vectors")
            self.cards = vector_cards(elem_id="vector-cards")
        with gr.Column(elem_id="radius-panel", elem_classes="mx-panel"):
            self.radius = radius_slider(elem_id="radius")
        # Gradio scrambles it with a secret; a random one would not outlive the server, and none of this is secret.
        self.kept = gr.BrowserState(None, storage_key=KEPT, secret=KEPT)
        self.prompt_inputs: list[gr.Textbox | gr.Dropdown] = [self.prompt, self.system, self.template]
        self.bank_inputs: list[gr.Dropdown | gr.HTML] = [self.bank, self.vectors, self.radius]
        self.bank_outputs: list[Block] = [self.bank, self.provenance, self.vectors, self.cards, self.radius]

    def bind(self, layers: list[gr.Number], model: gr.State) -> None:
        """Bind the events inside the column; ``selections`` are those that change which vectors are chosen.

        ``layers`` are the fields for source and target, on which the scope ``content`` depends; ``model`` changes when
        another model is loaded.
        """
        fields: list[gr.Textbox | gr.Dropdown | gr.Number] = [*self.prompt_inputs, self.scope, *layers]
        # One event for all of them: answers to several could overtake one another.
        changed = functools.partial(gr.on, [field.change for field in (*fields, model)])
        self._layers = layers
        bind(changed, self._show_tokens, {*fields}, self.tokens, trigger_mode="always_last")
        column = [*self.prompt_inputs, self.scope, *self.bank_inputs]
        for part in column:  # in the browser alone
            bind(part.change, None, [self.kept, *column], self.kept, js=_KEEP)
        # Not input: the list fires that twice for a choice, and also when it is only left.
        bind(self.bank.change, self._open_chosen, [self.bank, self.radius], self.bank_outputs)
        bind(self.refresh.click, self.reopen_bank, self.bank_inputs, self.bank_outputs)
        bind(self.use_prompt.click, self._prompt_of, self.bank, self.prompt_inputs)
        self.selections = [  # in the browser alone: the next Steer must use the vectors that were clicked last
            bind(self.vectors.input, None, [self.vectors, self.cards], self.cards, js=_TO_CARDS),
            bind(self.cards.pick, None, self.cards, self.vectors, js=_TO_LIST),
        ]

    def prompts(self, values: Values) -> list[Prompt]:
        """The prompts in the column. Raises InputError."""
        return prompts_from(values[self.prompt], values[self.system], values[self.template])

    def find(self, name: str | None) -> BankSummary | None:
        """The bank's line on the shelf, or None."""
        return next((line for line in self._workbench.banks() if line.name == name), None)

    def names(self, bank: str | None, bank_hash: str | None = None) -> dict[int, str]:
        """The label names of a bank's vectors; empty where the name now belongs to a bank other than ``bank_hash``.
        Vectors that are in no bank have names of their own."""
        line = self.find(bank)
        if bank is not None and line is None:
            return self._workbench.own_names(bank)
        if bank is None or line is None or line.damaged:
            return {}
        try:
            held = self._workbench.bank(bank)
        except MelboError:  # its vectors are damaged; opening it says so
            return {}
        if bank_hash is not None and held.hash != bank_hash:
            return {}
        try:
            return {vector: label.name for vector, label in self._workbench.bank_labels(bank).items()}
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
            norms = self._workbench.bank(line.name).norms
        except MelboError as error:  # its vectors are damaged; the shelf does not read them
            warning = note(sentence(str(error)), tone="warning")
            return self._no_vectors(gr.Dropdown(choices=choices, value=line.name), warning)
        labels = self._workbench.bank_labels(line.name)
        names = {vector: label.name for vector, label in labels.items()}
        runaways = self._runaways(line.name)
        every = range(line.vectors)
        least, most = min(norms), max(norms)
        picked = [one for one in selected if one in every] if selected is not None else list(every[:FIRST_CHOICE])
        cards = [
            {
                "index": vector,
                "name": names.get(vector, ""),
                "rating": labels[vector].rating if vector in labels else None,
                "objective": record.objective[vector] if record.objective else None,
                "effect": effect_lines(record, vector),
                "runaway": runaways.get(vector, []),
            }
            for vector in every
        ]
        return {
            self.bank: gr.Dropdown(choices=choices, value=line.name),
            self.provenance: note(*provenance(line)),
            self.vectors: gr.Dropdown(choices=[(vector_name(vector, names), vector) for vector in every], value=picked),
            self.cards: {"vectors": cards, "selected": picked},
            self.radius: {
                "bank": line.name,
                "radius": record.radius if radius is None else radius,
                "trained": record.radius,
                "median": record.median_norm,
                "norms": [least, most] if least < most else None,
            },
        }

    def _no_vectors(self, banks: gr.Dropdown, why: dict[str, Any]) -> Changes:
        """Show no bank, and ``why``."""
        nothing = gr.Dropdown(choices=[], value=[])
        cards: dict[str, list[int]] = {"vectors": [], "selected": []}
        return {self.bank: banks, self.provenance: why, self.vectors: nothing, self.cards: cards, self.radius: {}}

    def reopen_bank(self, name: str | None, selected: list[int] | None, radius: dict[str, Any] | None) -> Changes:
        """Show the same bank and the same choice again: after banks came or went."""
        return self.open_bank(name, chosen(selected), (radius or {}).get("radius"))

    def list_banks(self) -> gr.Dropdown:
        """The list of banks, samples of the loaded model first; the chosen bank stays."""
        return gr.Dropdown(choices=bank_choices(self._workbench.banks()))

    def _open_chosen(self, name: str | None, radius: dict[str, Any] | None) -> Changes:
        """Open the bank that was chosen in the list, unless the column shows it already."""
        if name == (radius or {}).get("bank"):
            return {}
        changes = self.open_bank(name)
        if changes[self.radius]:
            changes[self.bank] = self.list_banks()  # another may be chosen by now
        return changes

    def show_labels(self, name: str | None, selected: list[int] | None, radius: dict[str, Any] | None) -> Changes:
        """Show names and ratings of the vectors after a label was saved; the chosen ones stay."""
        if name != (radius or {}).get("bank"):  # another bank is about to be opened
            return {}
        changes = self.open_bank(name, chosen(selected))
        return {part: changes[part] for part in (self.vectors, self.cards)}

    def show_runaways(self, name: str | None, cards: dict[str, Any] | None) -> Any:
        """The cards, if a vector has run away since they were drawn."""
        drawn = (cards or {}).get("vectors") or []
        line = self.find(name)
        if name is None or line is None or line.damaged or line.vectors != len(drawn):
            return gr.skip()
        known = self._runaways(name)
        now = [{**card, "runaway": known.get(card["index"], [])} for card in drawn]
        return gr.skip() if now == drawn else {**(cards or {}), "vectors": now}

    def _runaways(self, bank: str) -> dict[int, list[dict[str, Any]]]:
        """For each vector that ran away: at which R, and where."""
        return {
            vector: [{"radius": radius, "where": RAN_AWAY[place]} for place, radius in places.items()]
            for vector, places in self._workbench.runaways(bank).items()
        }

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
        """Show the column as the browser kept it; None if it kept nothing usable."""
        if not isinstance(kept, dict):
            return None
        prompt, system, scope, name = words = [kept.get(key) for key in ("prompt", "system", "scope", "bank")]
        vectors, radius = kept.get("vectors"), kept.get("radius")
        if not all(word is None or isinstance(word, str) for word in words) or not (prompt or name):
            return None
        bank = name if self.find(name) is not None else self.first_bank()
        as_before = bank == name and isinstance(vectors, list) and isinstance(radius, int | float)
        selected = [one for one in vectors or [] if isinstance(one, int)] if as_before else None
        return {
            self.prompt: prompt or "",
            self.system: system or "",
            self.template: _kept_template(kept.get("template")),
            self.scope: scope or SCOPES[0],
            **self.open_bank(bank, selected, radius if as_before else None),
        }

    def for_model(self, template: str, scope: str, kept: Any) -> Changes:
        """Change template and scope to those of the loaded model, unless they were chosen for it."""
        state = self._workbench.model_state()
        before = kept.get("model") if isinstance(kept, dict) else None
        kept = {**(kept if isinstance(kept, dict) else {}), "model": state.weights_hash}
        choices = template_choices(state)
        usual = template_field(state.usual_template or False)
        fits = template in (OFF, usual) or (before == state.weights_hash and template != ON)
        if not fits or before not in (None, state.weights_hash):
            shown = gr.update(choices=choices, value=usual)
            return {self.template: shown, self.scope: default_scope(usual), self.kept: kept}
        changes: Changes = {self.template: gr.update(choices=choices), self.kept: kept}
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


def _kept_template(kept: object) -> str:
    """The template that the browser kept; earlier versions kept true or false."""
    return kept if isinstance(kept, str) else template_field(kept is not False)
