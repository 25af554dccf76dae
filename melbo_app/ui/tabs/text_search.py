"""Finding a stored text by its words or its meaning, in Read: it opens where it was made."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.library.answers import FoundAnswer
from melbo_app.library.completion import Completion
from melbo_app.studies.search_meaning import Meant, SearchMeaning
from melbo_app.ui.components.completion_grid import card_key
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button, choice
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.runs import Runs
from melbo_app.ui.text_lines import CHAT, found_table, near_table
from melbo_app.workbench import Workbench

MEANING, WORDS = "meaning", "words"
HOW = [("nearest in meaning to", MEANING), ("with the words", WORDS)]
MOST = 30
NOTHING = "No text has these words."
NONE = "There are no texts yet."


def searched(
    workbench: Workbench, runs: Runs, request: gr.Request, text: str, bar: gr.HTML, show: Callable[[Meant], Changes]
) -> Iterator[Changes]:
    """Search by meaning; what is found so far is shown while texts are embedded."""
    study = SearchMeaning(text=text, limit=MOST)
    done = yield from runs.do(
        request, study, bar, "searching",
        lambda step: {} if getattr(step, "found", None) is None else show(step.found),
    )  # fmt: skip
    if done is not None:
        found, _ = done
        yield {**show(found), bar: resting(found.sentence)}


class Hit(NamedTuple):
    """A text that was found, and the part of it that was sought."""

    text: Completion
    sought: str

    @classmethod
    def of(cls, workbench: Workbench, id: int, words: str, how: str) -> "Hit":
        """The text ``id``, found by ``words``, or by their meaning."""
        text = workbench.completion(id)
        return cls(text, workbench.passage(text.text, words) if how == MEANING else words.strip())

    @property
    def marked(self) -> dict[str, Any]:
        """The part of the grid's value that opens the text."""
        return {"hit": card_key(self.text), "sought": self.sought}


class TextSearch:
    """The section of Read that finds texts."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs(workbench)
        self.asked = gr.State(["", WORDS])  # what the table answers
        with gr.Accordion("Find a text", open=False, elem_id="find-text-panel"):
            with gr.Row(elem_classes="mx-fields"):
                self.how = choice("Texts", "find-how", HOW, MEANING, 190)
                self.text = gr.Textbox(
                    label="A sentence, or words", max_lines=1, elem_id="find-text", scale=6,
                    placeholder="it says that it is a person",
                )  # fmt: skip
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.find = button("Find", "find-button", 80)
                self.stop = button("Stop", "find-stop", 80)
                self.progress = progress_bar(resting(), elem_id="find-progress")
            self.table = record_table({}, elem_id="find-table")

    def bind(self, restore: Callable[..., Changes], outputs: list[Block]) -> None:
        """Bind finding, and opening a text with ``restore``, in ``outputs``."""
        self._restore = restore
        asked, shown = {self.text, self.how}, [self.table, self.asked, self.progress]
        for trigger in (self.find.click, self.text.submit):
            self._runs.bind(trigger, self._find, asked, shown, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.table.pick, self._open, [self.asked], outputs)

    def _find(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        text, how = values[self.text] or "", values[self.how]
        yield {self.asked: [text, how]}
        if how == MEANING:
            yield from searched(self._workbench, self._runs, request, text, self.progress, self._near)
            return
        if not text.strip():
            raise InputError("text", "it is empty", "Write what to search for")
        with self._runs.start(request) as run:
            texts = self._workbench.search_completions(text.strip(), limit=MOST)
            answers = self._workbench.search_conversations(text, MOST)
            tell([*texts.damaged, *answers.damaged])
            both: list[Completion | FoundAnswer] = [*texts, *answers]
            found = sorted(both, key=lambda one: one.created, reverse=True)[:MOST]
            many = f"The newest {MOST} texts." if len(found) == MOST else f"{len(found)} texts."
            if not run.pressed:  # an earlier search does not answer after a later one
                yield {self.table: found_table(found, NOTHING), self.progress: resting(many if found else "")}

    def _near(self, found: Meant) -> Changes:
        return {self.table: near_table(found.every, NONE)}

    def _open(self, event: gr.EventData, asked: Any) -> Changes:
        kind, _, number = event.key.split("\n")
        if kind == CHAT:  # which the view Chat opens
            return {}
        id = int(number)
        return self._restore(self._workbench.comparison_of(id), hit=Hit.of(self._workbench, id, *asked))
