"""Generality: do the vectors at the left work on other prompts than their own?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.generality import Generality
from melbo_app.library.prompt_sets import MOST_BYTES, SHIPPED, SetPrompt, joined, parse_prompts
from melbo_app.library.text_file import text_of
from melbo_app.library.uploads import mark_used
from melbo_app.studies.generality import RANDOM, GeneralityProgress, MeasureGenerality
from melbo_app.ui.components.generality import generality_grid, grid, group_table, vector_table
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.forms import asked_by, bank_chosen, chosen, radii_of, template_of, whole
from melbo_app.ui.guard import bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import day
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

UNDER_WAY = "under way"  # stands where the key of what is shown will stand
EMPTY = (
    "Press Measure: each prompt of the sets is answered without steering, under each vector chosen at the left and "
    "under random vectors of the same R. The share of answers that change says how general a vector is."
)
OWN = "own"


class GeneralityTab:
    """The tab behind Similarity."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs()
        self._shown = gr.State(None)  # key of the result that is shown
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = gr.Button("Measure", variant="primary", elem_id="generality-start", scale=0, min_width=110)
            self.stop = gr.Button("Stop", elem_id="generality-stop", scale=0, min_width=80)
            self.progress = progress_bar(resting(), elem_id="generality-progress")
        with gr.Row(elem_classes="mx-fields"):
            self.sets = gr.CheckboxGroup(
                list(SHIPPED), value=["refused", "everyday"], label="Sets of prompts", elem_id="generality-sets",
                scale=4, min_width=440,
            )  # fmt: skip
            self.random = gr.Number(
                RANDOM, label="Random vectors", precision=0, elem_id="generality-random", min_width=110
            )
            self.tokens = gr.Number(40, label="Max new tokens", precision=0, elem_id="generality-tokens", min_width=110)
        with gr.Accordion("Own prompts", open=False, elem_id="generality-own-panel"):
            self.own = gr.Textbox(
                label="One a line, or JSONL with “prompt” and “group”", lines=4, max_lines=10, elem_id="generality-own"
            )
            self.upload = gr.UploadButton(
                "Read a file", file_types=[".txt", ".jsonl", ".ndjson", ".json"], elem_id="generality-upload", size="sm"
            )
        with gr.Row(elem_classes="mx-fields"):
            self.history = gr.Dropdown([], label="Earlier results", elem_id="generality-history", min_width=220)
        self.table = record_table({"columns": []}, elem_id="generality-table")
        self.grid = generality_grid({"message": EMPTY}, elem_id="generality-grid")
        self.groups = record_table({"columns": []}, elem_id="generality-groups")

    def bind(self, tab: gr.Tab) -> None:
        """Bind measuring, own prompts and earlier results; when ``tab`` is opened, the last one is shown."""
        session = self._session
        inputs = [
            session.system, session.template, session.bank, session.vectors, session.radius, self.sets, self.own,
            self.random, self.tokens,
        ]  # fmt: skip
        views = [self._shown, self.table, self.grid, self.groups, self.progress]
        outputs = [*views, self.history]
        runs = [
            self._runs.bind(self.start.click, self._measure, inputs, outputs, self.progress),
            self._runs.bind(tab.select, self._show_last, self._shown, outputs, self.progress),
        ]
        for run in runs:
            bind(run.failure, self._failed, self._shown, outputs)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.history.change, self._choose, [self.history, self._shown], views)
        bind(self.upload.upload, self._read, self.upload, self.own)

    def _measure(
        self, request: gr.Request, system: str, template: str, bank: str | None, vectors: list[int] | None,
        radius: dict[str, Any] | None, sets: list[str] | None, own: str, random: float, tokens: float,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        name, radii = bank_chosen(bank), radii_of(radius)
        texts = self._prompts(sets or [], own)
        asked = self._workbench.asked(texts, system, template_of(template))
        decoding = Decoding(whole("max new tokens", tokens))
        study = MeasureGenerality(
            bank=name, prompts=asked, vectors=chosen(vectors), radius=None if radii is None else radii[0],
            random=whole("random vectors", random), decoding=decoding,
        )  # fmt: skip
        yield from self._follow(request, self._workbench.start(study, who=asked_by(request)), own=True)

    def _prompts(self, sets: list[str], own: str) -> list[SetPrompt]:
        parts = [self._workbench.prompt_set(sets)] if sets else []
        if (own or "").strip():
            parts.append(parse_prompts(own.encode("utf-8", "surrogatepass"), OWN, shown="your prompts"))
        if not parts:
            raise InputError("prompts", "none are chosen", "Choose a set, or write your own")
        return joined(parts)

    def _read(self, path: str | None) -> Any:
        """A file's prompts in the field, where they can be changed."""
        if path is None:
            return gr.skip()
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        parse_prompts(data, OWN, shown=f"“{Path(path).name}”")
        mark_used(Path(path))
        return text_of(data).replace("\r\n", "\n")

    def _show_last(self, request: gr.Request, shown: str | None) -> Iterator[tuple[Any, ...]]:
        """Follow what is being measured, or show the last result, where this page shows none yet."""
        active = self._workbench.active_jobs("generality")
        found = self._workbench.generalities()
        tell(found.damaged)
        if self._runs.busy(request) or (not active and any(one.key == shown for one in found)):
            yield (gr.skip(),) * 6
        elif active:
            yield from self._follow(request, active[-1], own=False)
        elif found:
            yield *self._values(found[0]), self._choices(found[0].key)
        else:
            yield *self._nothing(resting()), self._choices(None)

    def _follow(
        self, request: gr.Request, job: Job[GeneralityProgress, Generality], *, own: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        seen: Generality | None = None
        names: dict[int, str] = {}
        run = self._runs.follow(request, job, own=own)
        began = False
        for bar, step in run:
            history = gr.skip() if began else gr.Dropdown(value=None)
            began = True
            if step is None or step.found is None or step.found is seen:
                yield UNDER_WAY, gr.skip(), gr.skip(), gr.skip(), bar, history
                continue
            if seen is None:
                names = self._session.names(step.found.bank, step.found.bank_hash)
            seen = step.found
            drawn = grid(seen, names, texts=False)
            yield UNDER_WAY, vector_table(seen, names), drawn, group_table(seen), bar, history
        if not run.result:
            return
        if job.result is None:
            message = resting("Stopped before the first prompt was finished: nothing is kept.")
            yield *self._nothing(message), self._choices(None)
        else:
            yield *self._values(job.result), self._choices(job.result.key)

    def _values(self, found: Generality) -> tuple[Any, ...]:
        names = self._session.names(found.bank, found.bank_hash)
        prompts = f"{len(found.prompts)} prompts"
        if not found.finished:
            prompts = f"{len(found.prompts)} of {len(found.asked)} prompts, stopped"
        message = f"“{found.bank}” on {prompts}; the model refuses {found.refused} of them without steering."
        return found.key, vector_table(found, names), grid(found, names), group_table(found), resting(message)

    def _nothing(self, bar: dict[str, Any]) -> tuple[Any, ...]:
        return None, vector_table(None, {}), {"message": EMPTY}, group_table(None), bar

    def _failed(self, request: gr.Request, shown: str | None) -> tuple[Any, ...]:
        """What was refused before it began leaves the result that is shown as it is."""
        if shown != UNDER_WAY or self._runs.busy(request):
            return (gr.skip(),) * 6
        return *self._nothing(resting("Not finished.")), self._choices(None)

    def _choices(self, key: str | None) -> Any:
        found = self._workbench.generalities()
        return gr.Dropdown(choices=[(_line(one), one.key) for one in found], value=key)

    def _choose(self, key: str | None, shown: str | None) -> tuple[Any, ...]:
        """Show the result that was chosen in the list, unless it is the one that is shown already."""
        if key is None or shown in (key, UNDER_WAY):
            return (gr.skip(),) * 5
        found = next((one for one in self._workbench.generalities() if one.key == key), None)
        if found is None:
            raise InputError("result", "it is no longer there", "Press Measure again")
        return self._values(found)


def _line(found: Generality) -> str:
    sets = ", ".join(dict.fromkeys(one.set or "prompts" for one in found.prompts))
    radius = "own R" if found.radius is None else f"R {found.radius:.4g}"
    vectors = f"{len(found.vectors)} vector{'s' * (len(found.vectors) != 1)}"
    return f"{day(found.created)} · {found.bank} · {vectors}, {radius} · {sets} ({len(found.prompts)})"
