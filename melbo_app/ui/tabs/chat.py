"""Chat: a conversation with a vector on, the same without beside it."""

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.library.conversation import Conversation, Turn
from melbo_app.studies.chat import Chat
from melbo_app.ui.components.chat import chat_composer, chat_list, chat_view, growing, listed, shown, stamp
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.forms import asked_by, radii_of, template_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import sentence, vector_name
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.text_search import MEANING
from melbo_app.ui.text_lines import CHAT
from melbo_app.workbench import Workbench

MOST_LINES = 1_000
# What the window shows, for the server; only where the view is seen.
_HERE = """(_, ...others) => {
  const seen = document.getElementById("chat-composer")?.offsetParent;
  return [seen ? { ...melbo.state.chat } : null, ...others];
}"""
_OPENED = "(_, ...others) => [{ ...melbo.state.chat }, ...others]"
_FAILED = """(...values) => {
  melbo.select({ chatFailed: Date.now() });
  return [{ ...melbo.state.chat }, ...values.slice(1)];
}"""


class Answer(NamedTuple):
    """One text of an answer; ``column`` 1: without the vector. ``stamp`` says what wrote it."""

    turn: int
    column: int
    text: str
    message: str
    stamp: str


class ChatTab:
    """The view Chat."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions = workbench, session, completions
        self._runs = Runs(workbench)
        self._here = gr.JSON(visible=False)  # brings what the window shows
        with gr.Row(elem_id="chat-room"):
            self.list = chat_list(elem_id="chat-list")
            with gr.Column(elem_id="chat-main", min_width=0):
                self.view = chat_view(elem_id="chat")
                with gr.Column(elem_id="chat-desk", min_width=0):
                    self.progress = progress_bar(resting(), elem_id="chat-progress")
                    self.composer = chat_composer(elem_id="chat-composer")

    def bind(self, rooms: Rooms, model: gr.State) -> None:
        """Bind writing, branches and the list; ``model`` changes when another model is loaded."""
        session, views, self._rooms = self._session, [self.view, self.list], rooms
        asked = [self._here, session.bank, session.template]
        bind(rooms.opened("chat"), self._open, asked, [*views, self.composer], js=_OPENED)
        for trigger in (session.bank.change, session.template.change, model.change):
            bind(trigger, self._renew, asked, self.composer, js=_HERE, trigger_mode="always_last")
        inputs = {
            session.bank, session.radius, session.system, session.template, *self._completions.decoding_inputs
        }  # fmt: skip
        for trigger in (self.composer.say, self.view.say):
            run = self._runs.bind(trigger, self._say, inputs, [*views, self.progress], self.progress)
            bind(run.failure, self._again, [self._here], views, js=_FAILED)
        self._runs.bind_stopping(self.composer.stop, self.progress)
        bind(self.view.branch, self._branch, None, self.view)
        bind(self.view.fork, self._fork, None, views)
        finder = self._completions.finder
        bind(finder.table.pick, self._pick, [finder.asked], [self.view, *rooms.outputs])
        bind(self.list.open, self._show, None, self.view)
        bind(self.list.fresh, lambda: shown(None, [], {}), None, self.view)
        bind(self.list.rename, self._rename, None, self.list)
        bind(self.list.remove, self._remove, [self._here], views, js="() => [{ ...melbo.state.chat }]")

    def _open(self, request: gr.Request, here: Any, bank: str | None, template: str | None) -> Changes:
        """The list, and the conversation that the window showed last."""
        changes: Changes = {self.list: self._list(), self.composer: self._writing(bank, template)}
        if self._runs.busy(request):
            return changes
        asked = here.get("conversation") if isinstance(here, dict) else None
        return {**changes, self.view: {**self._kept(here), "asked": asked}}

    def answer(self, conversation: int, number: int) -> Answer:
        """One text of an answer, found under its number (``library/answers.py``)."""
        found = self._workbench.conversation(conversation)
        turn, side = found.turn(number // 2), number % 2
        if turn is None or turn.making is None or turn.steered is None or turn.baseline is None:
            raise InputError("answer", "it no longer exists", "Search again")
        message = found.turn(turn.parent)
        making, names = turn.making, self._names(found).get(turn.making.bank_hash or "", {})
        said = stamp(making.bank, None if side else making.vector, making.radius, names)
        text = (turn.steered, turn.baseline)[side].text
        return Answer(turn.id, side, text, message.text if message else "", f"{said} · {making.model}")

    def opened(self, conversation: int, number: int, words: str, how: str) -> Changes:
        """Open an answer that was found, with the part that was sought, in the view and in the rooms' outputs."""
        one = self.answer(conversation, number)
        found = self._workbench.show_branch(conversation, one.turn)
        sought = self._workbench.passage(one.text, words) if how == MEANING else words.strip()
        value = {**self._value(found), "sought": {"turn": one.turn, "column": one.column, "text": sought}}
        return {self.view: value, **self._rooms.show("chat")}

    def _pick(self, event: gr.EventData, asked: Any) -> Changes:
        """Open a line of Read's search that is an answer."""
        kind, conversation, number = event.key.split("\n")
        return self.opened(int(conversation), int(number), *asked) if kind == CHAT else {}

    def _renew(self, here: Any, bank: str | None, template: str | None) -> Any:
        return gr.skip() if here is None else self._writing(bank, template)

    def _again(self, here: Any) -> Changes:
        """What is kept, after a failure."""
        return {self.view: self._kept(here), self.list: self._list()}

    def _say(self, request: gr.Request, event: gr.EventData, values: Values) -> Iterator[Changes]:
        """Answer a message."""
        session, vector = self._session, event.vector
        radii = None if vector is None else radii_of(values[session.radius])
        study = Chat(
            conversation=event.conversation, parent=event.parent, message=event.message, text=event.text,
            bank=values[session.bank], vector=vector, radius=radii[0] if radii else None,
            system=values[session.system] or None, template=template_of(values[session.template]), think=event.think,
            decoding=self._completions.decoding(values), who=asked_by(request),
        )  # fmt: skip
        found = None if study.conversation is None else self._workbench.conversation(study.conversation)
        message = found.turn(study.message) if found and study.message is not None else None
        parent, text = (study.parent, study.text or "") if message is None else (message.parent, message.text)
        before = shown(found, found.branch(parent) if found else [], self._names(found))
        steered = self._stamp(study)

        def draw(step: Any) -> Changes:
            return {self.view: growing(before, parent, text, steered, step)}

        done = yield from self._runs.do(request, study, self.progress, "waiting for the model", draw)
        if done is None:
            return
        answered, stopped = done
        yield {
            self.view: self._value(self._workbench.conversation(answered.conversation)),
            self.list: self._list(),
            self.progress: resting("Stopped" if stopped else "Done"),
        }

    def _stamp(self, study: Chat) -> str:
        if study.vector is None or study.bank is None:
            return stamp(None, None, 0, {})
        radius = study.variant(self._workbench.bank(study.bank)).radius
        return stamp(study.bank, study.vector if radius else None, radius, self._session.names(study.bank))

    def _branch(self, event: gr.EventData) -> dict[str, Any]:
        return self._value(self._workbench.show_branch(int(event.conversation), int(event.turn)))

    def _fork(self, request: gr.Request, event: gr.EventData) -> Changes:
        made = self._workbench.fork_conversation(int(event.conversation), int(event.turn), asked_by(request))
        return {self.view: self._value(self._workbench.conversation(made)), self.list: self._list()}

    def _show(self, event: gr.EventData) -> dict[str, Any]:
        return self._value(self._workbench.conversation(int(event.conversation)))

    def _rename(self, event: gr.EventData) -> dict[str, Any]:
        self._workbench.rename_conversation(int(event.conversation), str(event.title))
        return self._list()

    def _remove(self, event: gr.EventData, here: Any) -> Changes:
        self._workbench.delete_conversation(int(event.conversation))
        changes: Changes = {self.list: self._list()}
        is_shown = isinstance(here, dict) and here.get("conversation") == event.conversation
        return {**changes, self.view: shown(None, [], {})} if is_shown else changes

    def _kept(self, here: Any) -> dict[str, Any]:
        """The conversation that a window shows; an empty one where it is gone."""
        id = here.get("conversation") if isinstance(here, dict) else None
        if isinstance(id, int):
            try:
                return self._value(self._workbench.conversation(id))
            except InputError:  # deleted in another window
                pass
        return shown(None, [], {})

    def _value(self, found: Conversation) -> dict[str, Any]:
        tell(found.damaged)
        return shown(found, found.shown, self._names(found))

    def _names(self, found: Conversation | None) -> dict[str, dict[int, str]]:
        """The labels of the vectors in a conversation, by the hashes of their banks."""
        turns: tuple[Turn, ...] = found.turns if found else ()
        banks = {one.making.bank_hash for one in turns if one.making and one.making.bank_hash}
        lines = {digest: self._workbench.bank_with(digest) for digest in banks}
        return {digest: self._session.names(line.name, digest) for digest, line in lines.items() if line is not None}

    def _list(self) -> dict[str, Any]:
        found = self._workbench.conversations(MOST_LINES)
        tell(found.damaged)
        return listed(found)

    def _writing(self, bank: str | None, template: str | None) -> dict[str, Any]:
        """What the next message can be sent with."""
        state, line = self._workbench.model_state(), self._session.find(bank)
        names = self._session.names(bank)
        vectors = range(line.vectors) if line is not None and line.record is not None else ()
        why = ""
        if state.loaded and not state.has_template:
            why = (
                f"{state.name} has no chat template: load a model that was trained to chat. Grid completes plain texts."
            )
        thinks = False
        try:
            thinks = self._workbench.can_think(template_of(template))
        except MelboError as error:  # the template was mistyped; sending says so, too
            gr.Warning(html.escape(sentence(str(error))), title="Chat template", duration=12)
        return {
            "bank": bank, "vectors": [{"vector": one, "name": vector_name(one, names)} for one in vectors],
            "thinks": thinks, "why": why,
        }  # fmt: skip
