"""A conversation in two columns, the list of conversations, and the field for the next message."""

from typing import Any

import gradio as gr

from melbo_app.analysis.flags import flags
from melbo_app.engine.chat_prompt import said as answer_of
from melbo_app.library.conversation import Conversation, ConversationSummary, Making, Sample, Turn
from melbo_app.studies.chat import ChatProgress
from melbo_app.ui.components.completion_grid import chips
from melbo_app.ui.components.live import live
from melbo_app.ui.present import amount, day, vector_name

EMPTY = (
    "Write a message below. It is answered twice: with the vector and R that are chosen then, and without. "
    "Vector and R can be others for each message."
)


def chat_view(*, elem_id: str) -> gr.HTML:
    """Value: {conversation, turns, live, kept, sought, asked, message}; see ``shown``. ``kept``: a live message is
    stored; ``sought`` {turn, column, text}: what was looked for; ``asked``: the conversation that the window showed
    when it asked for the value, which is ignored if it shows another one by now.

    Events: say {conversation, parent, message, text, vector, think}; branch, fork {conversation, turn}.
    """
    return live("chat", {"message": EMPTY}, elem_id=elem_id, events=("say", "branch", "fork"))


def chat_list(*, elem_id: str) -> gr.HTML:
    """Value: {conversations: [{id, title, when}]}. Events: fresh, open {conversation}, rename {conversation, title},
    remove {conversation}."""
    return live("chat_list", None, elem_id=elem_id, events=("fresh", "open", "rename", "remove"))


def chat_composer(*, elem_id: str) -> gr.HTML:
    """Value: {bank, vectors: [{vector, name}], thinks, why}: why nothing can be sent. Events: say, as above; stop."""
    return live("chat_composer", None, elem_id=elem_id, events=("say", "stop"))


def listed(conversations: list[ConversationSummary]) -> dict[str, Any]:
    """The value of the list."""
    lines = []
    for one in conversations:
        many = f"{one.messages} message{'s' * (one.messages != 1)}"
        lines.append({"id": one.id, "title": one.title, "when": f"{day(one.updated)} · {many}"})
    return {"conversations": lines}


def shown(found: Conversation | None, branch: list[Turn], names: dict[str, dict[int, str]]) -> dict[str, Any]:
    """The value of the view: a branch of a conversation. ``names`` are the labels of the vectors by the hashes of their
    banks."""
    places: dict[tuple[int | None, str], list[int]] = {}
    for turn in found.turns if found else ():
        places.setdefault((turn.parent, turn.role), []).append(turn.id)
    turns: list[dict[str, Any]] = []
    for turn in branch:
        versions = places[turn.parent, turn.role]
        place = {"id": turn.id, "versions": versions, "at": versions.index(turn.id)}
        if turn.role == "user":
            turns.append({"parent": turn.parent, "message": {**place, "text": turn.text}, "answer": None})
        elif turn.making and turn.steered and turn.baseline:
            said = flags(
                answer_of(turn.steered.text), turns[-1]["message"]["text"], turn.making.system,
                answer_of(turn.baseline.text) if turn.making.vector is not None else None,
            )  # fmt: skip
            written = _written(turn.making, turn.steered, turn.baseline, names)
            marked = [[{"text": flag.kind, "title": flag.reason} for flag in said], []]
            turns[-1]["answer"] = {**place, **written, "flags": marked}
    return {"conversation": found.id if found else None, "turns": turns, "live": False, "message": EMPTY}


def growing(
    before: dict[str, Any], parent: int | None, text: str, steered: str, step: ChatProgress | None
) -> dict[str, Any]:
    """The value ``before`` with one more turn, which is being written; ``steered`` is its stamp."""
    alone: dict[str, Any] = {"id": None, "versions": [], "at": 0}
    texts = [step.steered, step.baseline] if step else ["", ""]
    answer = {
        **alone, "texts": texts, "stamps": [steered, "no vector"], "about": "", "ends": ["", ""], "chips": [[], []],
        "flags": [[], []], "live": True,
    }  # fmt: skip
    turn = {"parent": parent, "message": {**alone, "text": text}, "answer": answer}
    value = {**before, "turns": [*before["turns"], turn], "live": True}
    if step and step.message is not None:
        value |= {"conversation": step.conversation, "kept": True}
    return value


def stamp(bank: str | None, vector: int | None, radius: float, names: dict[int, str]) -> str:
    """What steers one answer."""
    if vector is None:
        return "no vector"
    return f"vector {vector_name(vector, names)} · R {amount(radius, 4)}" + (f" · {bank}" if bank else "")


def _written(making: Making, steered: Sample, baseline: Sample, names: dict[str, dict[int, str]]) -> dict[str, Any]:
    most = making.max_new_tokens
    own = names.get(making.bank_hash or "", {})
    return {
        "texts": [steered.text, baseline.text],
        "stamps": [stamp(making.bank, making.vector, making.radius, own), "no vector"],
        "about": _about(making),
        "ends": ["" if one.finished else _end(one, most) for one in (steered, baseline)],
        "chips": [[] if one.scores is None else chips(one.scores) for one in (steered, baseline)],
    }


def _end(text: Sample, most: int) -> str:
    return f"cut at {most} tokens" if text.tokens >= most else "stopped"


def _about(making: Making) -> str:
    """Everything else that determined an answer."""
    decoding = "greedy"
    if making.temperature > 0:
        decoding = f"temperature {amount(making.temperature)}, top-p {amount(making.top_p)}, seed {making.seed}"
    facts = [making.model, f"added after block {making.source}" if making.source is not None else ""]
    facts += [f"{decoding}, at most {making.max_new_tokens} tokens"]
    facts += [
        f"system text “{making.system}”" if making.system else "",
        f"template {making.template}" if making.template else "",
    ]
    return " · ".join(fact for fact in facts if fact)
