"""Watch: a bank raises the alarm for prompts that look like what one of its vectors does."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, StorageError
from melbo_app.library.labelled_prompts import LabelledPrompt, parse_labelled, starts_json
from melbo_app.library.model_catalogue import canonical
from melbo_app.studies.usual_prompts import FALSE_ALARMS
from melbo_app.studies.watch import Watch, WatchProgress
from melbo_app.studies.watch_command import watch_command
from melbo_app.ui.components.alarm_list import alarm_list
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.detection_table import detection_table
from melbo_app.ui.fields import button, choice, number, small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen, real, template_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.own_prompts import MINE, OWN, SETS, clean_texts, content_of, read_upload, upload_button
from melbo_app.ui.present import many
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import NOTHING_RUNS, Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.taking import take
from melbo_app.ui.watch_post import Post, Seen
from melbo_app.workbench import Workbench

CLEAN = [*SETS, MINE]
FILE = "watch-file"
LINES = "one a line, or JSONL with “text”"
EMPTY = (
    "The bank above learns what ordinary prompts look like inside the model. Then it raises the alarm for each prompt "
    "that looks like what one of its vectors does, and names the vector. Press Watch."
)
MOST_TRIED = 20


class WatchTab:
    """The view Watch."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._runs, self._ones, self._kept = Runs(workbench), Runs(workbench), KeptForm("watch", for_any_model=True)
        self._seen = gr.State(None)  # what the list shows
        self._tried = gr.State(None)  # the same for single prompts
        with gr.Row(elem_classes="mx-fields"):
            self.clean = choice("Clean prompts", "watch-clean", CLEAN, "everyday", 190)
            self.share = number("False alarms, at most %", "watch-share", 100 * FALSE_ALARMS, 160)
            self.read_clean = upload_button("Read clean prompts from a file", "watch-own-upload")
            self.read_prompts = upload_button("Read prompts to watch from a file", "watch-prompts-upload")
        with gr.Row(elem_classes="mx-fields"):
            self.own = gr.Textbox(
                label=f"Clean prompts, {LINES}", lines=4, max_lines=8, elem_id="watch-own", visible=False,
                placeholder="ten or more, better a hundred", min_width=280,
            )  # fmt: skip
            self.prompts = gr.Textbox(
                label=f"Prompts to watch, {LINES} and perhaps “label”: 0 clean, 1 anomalous", lines=4, max_lines=8,
                elem_id="watch-prompts", min_width=280,
            )  # fmt: skip
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = button("Watch", "watch-start", 110, variant="primary")
            self.stop = button("Stop", "watch-stop", 80)
            self.progress = progress_bar(resting(), elem_id="watch-progress")
        self.said = note_view(note(EMPTY), elem_id="watch-said")
        with gr.Row(elem_classes="mx-fields", elem_id="watch-single"):
            self.one = gr.Textbox(
                label="One prompt", max_lines=1, elem_id="watch-one", scale=3, min_width=200,
                placeholder="does it raise the alarm?",
            )  # fmt: skip
            self.try_one = button("Score it", "watch-one-start", 90)
            self.trying = progress_bar(resting(), elem_id="watch-one-progress")
        self.tried = alarm_list(elem_id="watch-tried")
        self.list = alarm_list(elem_id="watch-list", start="watch-start")
        self.figures = record_table({"columns": []}, elem_id="watch-figures")
        self.command = command_line(elem_id="watch-command")
        self.download = small_button("Download the answers", "watch-download", 160, interactive=False)
        self._file = hidden_download(FILE)
        self.lists = (self.list, self.tried)
        self.fields: list[Component] = [self.clean, self.share, self.own, self.prompts]

    def bind(self, rooms: Rooms, completions: CompletionsTab) -> None:
        """Bind watching, single prompts, uploads, the download and opening a vector."""
        session = self._session
        asked = {session.bank, session.system, session.template, *self.fields}
        shown: list[Block] = [
            self._seen, self.progress, self.said, self.list, self.figures, self.command, self.download,
        ]  # fmt: skip
        self._runs.bind(self.start.click, self._watch, asked, shown, self.progress)
        one = [self._tried, self.trying, self.tried]
        for trigger in (self.try_one.click, self.one.submit):
            self._ones.bind(trigger, self._try, {*asked, self.one, self._tried}, one, self.trying)
        bind(self.stop.click, self._stop, None, self.progress)
        bind(self.clean.change, lambda chosen: gr.update(visible=chosen == OWN), self.clean, self.own)
        bind(self.read_clean.upload, self._read_clean, self.read_clean, [self.clean, self.own])
        bind(self.read_prompts.upload, self._read, self.read_prompts, self.prompts)
        made = bind(self.download.click, self._write, self._seen, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")
        self._kept.bind(self.fields, rooms.opened("watch"), _put_back, [], [])
        self._rooms = rooms
        outputs = [*rooms.outputs, *session.prompt_inputs, *session.bank_outputs]
        for shown_in, state in ((self.list, self._seen), (self.tried, self._tried)):
            completions.steer_after(bind(shown_in.open, self._open, state, outputs).success)

    def _watch(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        watched = parse_labelled(content_of(values[self.prompts]), "the field", "prompts")
        post, begun = self._post(values, watched), time.monotonic()

        def draw(step: Any) -> Changes:
            if not isinstance(step, WatchProgress):
                return {}
            every = tuple(step.every)
            return {
                self.said: note(post.study.how_found(step.threshold), tone="plain"),
                self._seen: Seen(post, step.threshold, every),
                self.list: post.list_of(every, step.threshold),
            }

        done = yield from self._runs.do(request, post.study, self.progress, "starting", draw)
        if done is None:
            return
        found, stopped = done
        count = sum(one["alarm"] for one in found.answers)
        end = f", stopped after {len(found.answers)} of {len(watched)}" if stopped else ""
        seen = f"{many(count, 'alarm')} among {many(len(found.answers), 'prompt')}"
        yield {
            self._seen: Seen(post, found.threshold, found.answers),
            self.said: note(post.study.how_found(found.threshold), tone="plain"),
            self.list: post.list_of(found.answers, found.threshold),
            self.figures: detection_table(found.figures, found.false_alarms),
            self.command: self._command(post, values),
            self.download: gr.Button(interactive=True),
            self.progress: resting(f"{seen}, {time.monotonic() - begun:.1f} s{end}"),
        }

    def _try(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Score one prompt; what the bank learned before is kept, so that the answer comes at once."""
        text = (values[self.one] or "").strip()
        if not text:
            raise InputError("one prompt", "it is empty", "Write a prompt to score")
        post = self._post(values, [LabelledPrompt(text)])
        done = yield from self._ones.do(request, post.study, self.trying, "scoring")
        if done is None:
            return
        found, before = done[0], values[self._tried]
        same = isinstance(before, Seen) and before.post.detector == post.detector
        answers = (*found.answers, *(before.answers if same else ()))[:MOST_TRIED]
        yield {
            self._tried: Seen(post, found.threshold, answers),
            self.tried: post.list_of(answers, found.threshold, short=True),
            self.trying: resting("An alarm." if found.answers[0]["alarm"] else "No alarm."),
        }

    def _stop(self, request: gr.Request) -> Any:
        stopped = [runs.stop(request) for runs in (self._runs, self._ones)]
        return gr.skip() if any(stopped) else resting(NOTHING_RUNS)

    def _post(self, values: Values, watched: Sequence[LabelledPrompt]) -> Post:
        """What the fields ask for. Raises InputError."""
        name, chosen = bank_chosen(values[self._session.bank]), values[self.clean]
        bank = self._workbench.bank(name)
        like = Prompt("", values[self._session.system] or None, template_of(values[self._session.template]))
        own = bank.record.prompts[0] if bank.record.prompts else None
        study = Watch(
            bank=name,
            clean=clean_texts(self._workbench, chosen, values[self.own]),
            prompts=tuple(one.text for one in watched),
            labels=tuple(int(bool(one.anomalous)) for one in watched) if watched[0].anomalous is not None else None,
            false_alarms=real("false alarms", values[self.share]) / 100,
            system=None if own and (own.system or None) == like.system else like.system or "",
            template=None if own and own.template == like.template else like.template,
        )
        state = self._workbench.model_state()
        names, says = self._session.names(name, bank.hash), dict[int, str]()
        with suppress(StorageError):  # the list does without
            says = {vector: one.text for vector, one in self._workbench.newest_texts(name).items()}
        return Post(study, bank.hash, state.name, state.weights_hash, like, names, says)

    def _command(self, post: Post, values: Values) -> dict[str, Any]:
        """The command that does the same, and what is in its files."""
        chosen, files = values[self.clean], list[str]()
        prompts = _file("prompts", values[self.prompts])
        files.append(f"{prompts} has the prompts to watch")
        if chosen == OWN:
            clean = _file("clean", values[self.own])
            files.append(f"{clean} the clean ones")
        else:
            clean = chosen
        recorded = self._workbench.bank(post.study.bank).record.model
        loaded = next((one.spec for one in self._workbench.models() if one.loaded), recorded)
        model = None if canonical(loaded) == canonical(recorded) else loaded
        command = watch_command(post.study, clean, prompts, model)
        return {"command": command, "note": f"The same on the command line, where {' and '.join(files)}:"}

    def _read_clean(self, path: str) -> Changes:
        return {self.clean: OWN, self.own: gr.update(value=self._read(path), visible=True)}

    def _read(self, path: str) -> str:
        """The text of an uploaded file, for a field where it can be changed."""
        return read_upload(path, lambda data, name: parse_labelled(data, name, "prompts"))

    def _write(self, seen: Seen | None) -> str:
        if seen is None:
            raise InputError("answers", "there are none yet", "Press Watch")
        return written(f"{seen.post.study.bank} watched", ".jsonl", seen.write)

    def _open(self, event: gr.EventData, seen: Seen | None) -> Changes:
        """Choose the vector of an answer and write its prompt into the context line; it is steered then."""
        if seen is None:
            raise InputError("answer", "it is no longer there", "Press Watch")
        prompt = Prompt(str(event.text), seen.post.like.system, seen.post.like.template)
        return {
            **self._rooms.show("completions"),
            **self._session.prompt_values([prompt]),
            **take(self._workbench, self._session, seen.post.bank_hash, [int(event.vector)], None),
        }


def _file(stem: str, text: str | None) -> str:
    """The name of a file with the lines of a field."""
    return f"{stem}.jsonl" if starts_json(text or "") else f"{stem}.txt"


def _put_back(fields: Changes, _: Any) -> Changes:
    """What the window kept. (By another version it may have kept another set.)"""
    return {
        field: value
        for field, value in fields.items()
        if field.elem_id != "watch-clean" or value in dict(CLEAN).values()
    }
