"""The form of an audit: the prompts, the clean ones, and how each is explored."""

from typing import Any

import gradio as gr
from gradio.components import Component

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import METHOD_DESCRIPTIONS
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.library.labelled_prompts import parse_labelled
from melbo_app.library.prompt_sets import SetPrompt, parse_prompts
from melbo_app.studies.audit import BUDGET, ELSEWHERE, MakeAudit
from melbo_app.studies.usual_prompts import FALSE_ALARMS
from melbo_app.ui.fields import choice, number, text, whole_number
from melbo_app.ui.forms import optional_real, optional_whole, real, template_of, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.method_form import TITLES
from melbo_app.ui.own_prompts import MINE, OWN, SETS, clean_texts, content_of, read_upload, upload_button
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

NONE = "none"
METHODS = [(TITLES[name], name) for name, described in METHOD_DESCRIPTIONS.items() if not described.contrast]
PROMPTS, CLEAN = [MINE, *SETS], [("none: nothing watches", NONE), *SETS, MINE]
SEARCHED = "searched"


class AuditForm:
    """The fields of an audit, which outlive a reload."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._kept = KeptForm("audit", for_any_model=True)
        with gr.Row(elem_classes="mx-fields"):
            self.prompts = choice("Prompts", "audit-prompts", PROMPTS, OWN, 180)
            self.read = upload_button("Read prompts from a file", "audit-upload")
            self.clean = choice("Clean prompts for Watch", "audit-clean", CLEAN, NONE, 180)
            self.read_clean = upload_button("Read clean prompts from a file", "audit-clean-upload")
        with gr.Row(elem_classes="mx-fields"):
            self.own = gr.Textbox(
                label="Prompts, one a line, or JSONL with “prompt” and perhaps “group”", lines=4, max_lines=8,
                elem_id="audit-own", min_width=280, placeholder="ten to a hundred that cover what the model is for",
            )  # fmt: skip
            self.own_clean = gr.Textbox(
                label="Clean prompts, one a line, or JSONL with “text”", lines=4, max_lines=8, visible=False,
                elem_id="audit-own-clean", min_width=280, placeholder="ten or more, better a hundred",
            )  # fmt: skip
        with gr.Row(elem_classes="mx-fields"):
            self.seconds = whole_number("Search begins no prompt after (s)", "audit-seconds", int(BUDGET), 150)
            self.vectors = whole_number("Vectors for each prompt", "audit-vectors", 8, 110)
            self.elsewhere = whole_number("Try each behaviour on (prompts)", "audit-elsewhere", ELSEWHERE, 150)
            self.history = choice("Earlier audits", "audit-history", [], None, 240, scale=3)
        with gr.Accordion("More settings", open=False, elem_id="audit-settings"):
            with gr.Row(elem_classes="mx-fields"):
                self.method = choice("Method", "audit-method", METHODS, "joint", 220)
                self.steps = text("Most steps", "audit-steps", "the method's own", 100)
                self.source = text("Source layer", "audit-source", SEARCHED, 100)
                self.target = text("Target layer", "audit-target", SEARCHED, 100)
                self.relative = text("R × median norm", "audit-relative", SEARCHED, 110)
                self.budget = text("Effect budget", "audit-budget", SEARCHED, 100)
            with gr.Row(elem_classes="mx-fields"):
                self.scope = text("Token scope", "audit-scope", "as suggested", 110)
                self.search = number("Search for R, at most (s)", "audit-search-seconds", SEARCH_SECONDS, 130)
                self.tokens = whole_number("Max new tokens", "audit-tokens", 40, 100)
                self.share = number("False alarms, at most %", "audit-share", 100 * FALSE_ALARMS, 140)
                self.seed = whole_number("Seed", "audit-seed", 0, 80)
        self.fields: list[Component] = [
            self.prompts, self.clean, self.own, self.own_clean, self.seconds, self.vectors, self.elsewhere, self.method,
            self.steps, self.source, self.target, self.relative, self.budget, self.scope, self.search, self.tokens,
            self.share, self.seed,
        ]  # fmt: skip
        self.inputs: list[Component] = [session.system, session.template, *self.fields]

    def bind(self, opened: Any) -> None:
        """Bind uploads and the fields of one's own prompts; what the window kept comes back when the view is opened."""
        for chosen, own in ((self.prompts, self.own), (self.clean, self.own_clean)):
            bind(chosen.change, lambda given: gr.update(visible=given == OWN), chosen, own)
        bind(self.read.upload, self._read, self.read, [self.prompts, self.own])
        bind(self.read_clean.upload, self._read_clean, self.read_clean, [self.clean, self.own_clean])
        self._kept.bind(self.fields, opened, self._put_back, [], [])

    def study(self, values: Values) -> MakeAudit:
        """The audit that the fields ask for. Raises InputError."""
        chosen, usual = values[self.prompts], values[self.clean]
        lines = (
            _parsed(content_of(values[self.own]), "the field")
            if chosen == OWN
            else self._workbench.prompt_set([chosen])
        )
        clean = None if usual == NONE else clean_texts(self._workbench, usual, values[self.own_clean])
        system, template = values[self._session.system] or None, template_of(values[self._session.template])
        return MakeAudit(
            prompts=[Prompt(one.text, system, template) for one in lines],
            groups=[one.group for one in lines],
            clean=clean,
            seconds=real("seconds", values[self.seconds]),
            elsewhere=whole("prompts to try on", values[self.elsewhere]),
            vectors=whole("vectors", values[self.vectors]),
            method=values[self.method],
            steps=optional_whole("most steps", values[self.steps]),
            source=optional_whole("source layer", values[self.source]),
            target=optional_whole("target layer", values[self.target]),
            scope=(values[self.scope] or "").strip() or None,
            relative_radius=optional_real("R × median norm", values[self.relative]),
            effect_budget=optional_real("effect budget", values[self.budget]),
            search_seconds=real("search seconds", values[self.search]),
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            false_alarms=real("false alarms", values[self.share]) / 100,
            seed=whole("seed", values[self.seed]),
            files=("" if chosen == OWN else chosen, "" if usual in (OWN, NONE) else usual),
        )

    def _read(self, path: str) -> Changes:
        return {self.prompts: OWN, self.own: gr.update(value=read_upload(path, _parsed), visible=True)}

    def _read_clean(self, path: str) -> Changes:
        said = read_upload(path, lambda data, name: parse_labelled(data, name, "clean"))
        return {self.clean: OWN, self.own_clean: gr.update(value=said, visible=True)}

    def _put_back(self, fields: Changes, _: Any) -> Changes:
        """What the window kept. (By another version it may have kept another choice.)"""
        offered: Changes = {self.prompts: dict(PROMPTS), self.clean: dict(CLEAN), self.method: dict(METHODS)}
        return {
            field: value for field, value in fields.items() if field not in offered or value in offered[field].values()
        }


def _parsed(data: bytes, name: str) -> list[SetPrompt]:
    """The prompts of a field or a file, none of them twice. Raises InputError."""
    return parse_prompts(data, "prompts", shown=name, once=True)
