"""Completions side by side, streamed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from melbo_app.analysis.difference import mark
from melbo_app.analysis.flags import Flag
from melbo_app.engine.prompt import Prompt
from melbo_app.library.completion import Scores
from melbo_app.library.judges import Judgement
from melbo_app.studies.completing import Variant
from melbo_app.studies.flagging import flagged
from melbo_app.ui.components.live import live
from melbo_app.ui.present import amount

CHARACTERS_PER_LINE = 40
MOST_LINES = 12


Member = tuple[Any, Sequence[Flag], Judgement | None]
"""A completion, finished or not, with its flags and its judgement."""


def completion_grid(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {groups: [{title, cards}], lines, message}; see ``grid``. Event: annotate: bank, bank_hash, vector."""
    return live("completion_grid", value, elem_id=elem_id)


def grid(
    completions: Sequence[Any],
    names: dict[int, str],
    live: bool = False,
    judged: Mapping[str, Judgement] | None = None,
    title: str = "",
) -> dict[str, Any]:
    """The component's value: a group per prompt, each with the baseline, the random control and the vectors.

    ``names`` are the labels of the vectors, ``judged`` a judge's words by the completions' digests, ``title`` the
    heading of a single prompt's texts. Cards reserve room for texts that still grow; flags come once all are finished.
    """
    found = [()] * len(completions) if live else flagged(completions)
    said = judged or {}
    groups: dict[int, list[Member]] = {}
    for completion, flags in zip(completions, found, strict=True):
        about = said.get(completion.digest) if said else None
        groups.setdefault(completion.prompt_index, []).append((completion, flags, about))
    longest = max((completion.max_new_tokens for completion in completions), default=0)
    return {
        "groups": [
            {
                "title": f"Prompt {index + 1}: {members[0][0].prompt.user}" if len(groups) > 1 else title,
                "cards": _cards(members, names, live),
            }
            for index, members in groups.items()
        ],
        "lines": min(MOST_LINES, max(3, math.ceil(longest * 4.5 / CHARACTERS_PER_LINE))),
    }


def waiting(prompts: Sequence[Prompt], rows: Sequence[Variant], names: dict[int, str], longest: int) -> dict[str, Any]:
    """The component's value before the first word: an empty card for each text."""
    drafts = [
        SimpleNamespace(
            prompt_index=index, prompt=prompt, vector=row.vector, radius=row.radius, text="", tokens=0,
            finished=False, bank=None, bank_hash=None, max_new_tokens=longest, scores=None,
        )
        for index, prompt in enumerate(prompts)
        for row in rows
    ]  # fmt: skip
    return grid(drafts, names, live=True)


def _cards(members: list[Member], names: dict[int, str], live: bool) -> list[dict[str, Any]]:
    baseline = next((completion.text for completion, *_ in members if completion.vector is None), None)
    return [_card(completion, flags, said, baseline, names, live) for completion, flags, said in members]


def _card(
    completion: Any,
    flags: Sequence[Flag],
    said: Judgement | None,
    baseline: str | None,
    names: dict[int, str],
    live: bool,
) -> dict[str, Any]:
    vector = completion.vector
    kind = {None: "baseline", "random": "random"}.get(vector, "vector")
    title = {"baseline": "Baseline", "random": "Random control"}.get(kind, f"Vector {vector}")
    if kind != "baseline" and completion.radius < 0:
        title += ", reversed"
    state = "finished" if completion.finished else "live" if live else "cut"
    meta = [] if vector is None else [f"R {amount(completion.radius, 4)}"]
    meta += [f"{completion.tokens} tokens", {"finished": "finished", "live": "writing", "cut": "cut"}[state]]
    compared = baseline is not None and vector is not None
    pieces = mark(baseline, completion.text) if compared and baseline is not None else [(completion.text, False)]
    return {
        "key": f"{completion.prompt_index}/{vector}/{completion.radius:g}",
        "kind": kind,
        "bank": completion.bank,
        "bank_hash": completion.bank_hash,
        "vector": vector if kind == "vector" else None,
        "title": title,
        "name": names.get(vector, "") if kind == "vector" else "",
        "meta": " · ".join(meta),
        "mark": state,
        "pieces": pieces,
        "chips": [] if completion.scores is None else _chips(completion.scores),
        "flags": [{"text": flag.kind, "title": flag.reason} for flag in flags],
        "judged": None if said is None else _judged(said),
    }


def _judged(said: Judgement) -> dict[str, str]:
    """A judge's verdict, shown below the head with the built-in verdict."""
    message = f"{said.behaviour or 'behaviour not named'}\nJudged by {said.judge}. Above it: the built-in verdict."
    return {"judge": said.model, "verdict": said.verdict, "behaviour": said.behaviour, "title": message}


def _chips(scores: Scores) -> list[dict[str, str]]:
    """Chips at the right of a card's head: the runaway mark, and the verdict with its numbers."""
    chips = []
    if scores.runaway:
        message = (
            f"The vector turns {scores.runaway:.0%} of the prompt's tokens into attention sinks at the target layer."
        )
        chips.append({"kind": "runaway", "text": "runaway", "title": message})
    if scores.verdict is not None:
        chips.append({"kind": scores.verdict, "text": scores.verdict, "title": "\n".join(_numbers(scores))})
    return chips


def _numbers(scores: Scores) -> Iterator[str]:
    if scores.readability is not None:
        yield f"readability {scores.readability:.2f} of 1"
    if scores.logprob is not None:
        yield f"log-probability {scores.logprob:.2f} nats per token under the unsteered model"
    if scores.loss is not None:
        than = "less" if scores.loss >= 0 else "more"
        yield f"{abs(scores.loss):.2f} nats per token {than} likely than the baseline's text"
    if scores.peak_surprisal is not None:
        yield f"least likely eight tokens in a row: {scores.peak_surprisal:.2f} nats each"
    if scores.kl_prompt is not None and scores.kl_text is not None:
        yield f"KL(steered ‖ unsteered) {scores.kl_prompt:.2f} at the prompt's end, {scores.kl_text:.2f} along the text"
    facts = [f"repetition {scores.repetition:.0%}"]
    if scores.dictionary_words is not None:
        facts.append(f"dictionary words {scores.dictionary_words:.0%}")
    yield " · ".join([*facts, f"language {scores.language or 'unclear'}"])
