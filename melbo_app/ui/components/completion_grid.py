"""Completions side by side, streamed: cards at one R, a table of vectors and R at several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import gradio as gr

from melbo_app.analysis.difference import mark
from melbo_app.analysis.flags import Flag
from melbo_app.engine.prompt import Prompt
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.judges import Judgement
from melbo_app.studies.completing import Variant
from melbo_app.studies.flagging import flagged
from melbo_app.studies.spreads import cell_of
from melbo_app.ui.components.live import live
from melbo_app.ui.components.spread import seeds_of
from melbo_app.ui.present import amount
from melbo_app.ui.stamp import made_by
from melbo_app.workbench.banks import Home

CHARACTERS_PER_LINE = 40
MOST_LINES = 12


Member = tuple[Any, Sequence[Flag], Judgement | None]
"""A completion, finished or not, with its flags and its judgement."""


def completion_grid(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {groups: [{title, cards}], others, lines, stamp, hit, message}; see ``grid``. The card ``hit`` is opened.

    Events: annotate: bank, bank_hash, vector; save_bank: bank_hash; restore, with ``start``: stamp.
    """
    return live("completion_grid", value, elem_id=elem_id, events=("annotate", "save_bank"), start=start)


def grid(
    completions: Sequence[Any],
    names: dict[int, str],
    live: bool = False,
    judged: Mapping[str, Judgement] | None = None,
    title: str = "",
    *,
    others: Sequence[Any] | None = None,
    homes: Mapping[str, Home] | None = None,
    stamp: dict[str, Any] | None = None,
    samples: Sequence[Completion] = (),
) -> dict[str, Any]:
    """The component's value: a group per prompt, each with the baseline, the random control and the vectors.

    ``names`` are the labels of the vectors, ``judged`` a judge's words by the completions' digests, ``title`` the
    heading of a single prompt's texts. Cards reserve room for texts that still grow; flags come once all are finished.
    ``others`` are the stored texts at other R; None: those shown before, if they belong to these. ``homes`` say by the
    bank's hash where vectors are; those without one have the labels of the bank that they name. Only with a ``stamp``
    can cells be opened, and several R be shown. ``samples`` are the texts of other seeds (``seeds_of``).
    """
    members = _members(completions, live, judged or {})
    groups: dict[int, list[Member]] = {}
    for member in members:
        groups.setdefault(member[0].prompt_index, []).append(member)
    longest = max((completion.max_new_tokens for completion in completions), default=0)
    baselines = {one.prompt_index: one for one in completions if one.vector is None}
    cards = _Cards(baselines, names, homes or {}, live=live, own=bool(stamp and stamp["own_norms"]))
    seeds = seeds_of(completions, samples) if samples else {}
    value = {
        "groups": [
            {
                "title": f"Prompt {index + 1}: {members[0][0].prompt.user}" if len(groups) > 1 else title,
                "prompt": members[0][0].prompt.user,
                "cards": [{**cards.card(*one), "seeds": seeds.get(cell_of(one[0]))} for one in members],
            }
            for index, members in groups.items()
        ],
        "lines": min(MOST_LINES, max(3, math.ceil(longest * 4.5 / CHARACTERS_PER_LINE))),
        "stamp": stamp,
        "live": live,
    }
    if others is None:
        return value
    stored = _Cards(baselines, names, homes or {})
    known = _members([*baselines.values(), *others], False, judged or {})[len(baselines) :]
    return {**value, "others": [stored.card(*member) for member in known]}


def card_key(completion: Any) -> str:
    """The key of a completion's card."""
    return f"{completion.prompt_index}/{completion.vector}/{completion.radius:g}"


def drafts(prompts: Sequence[Prompt], rows: Sequence[Variant], **facts: Any) -> list[Any]:
    """The completions before the first word; ``facts`` are those that all have in common."""
    return [
        SimpleNamespace(
            **facts, prompt_index=index, prompt=prompt, vector=row.vector, radius=row.radius, text="", tokens=0,
            finished=False, scores=None,
        )
        for index, prompt in enumerate(prompts)
        for row in rows
    ]  # fmt: skip


def _members(completions: Sequence[Any], live: bool, said: Mapping[str, Judgement]) -> list[Member]:
    found = [()] * len(completions) if live else flagged(completions)
    return [
        (completion, flags, said.get(completion.digest) if said else None)
        for completion, flags in zip(completions, found, strict=True)
    ]


class _Cards:
    """What the cards of a comparison have in common; ``own``: each vector has its own norm, all in one column."""

    def __init__(
        self, baselines: Mapping[int, Any], names: dict[int, str], homes: Mapping[str, Home], *, live: bool = False,
        own: bool = False,
    ) -> None:  # fmt: skip
        self._baselines, self._names, self._homes, self._live, self._own = baselines, names, homes, live, own

    def card(self, completion: Any, flags: Sequence[Flag], said: Judgement | None) -> dict[str, Any]:
        """One card, or one cell of the table."""
        vector, baseline = completion.vector, self._baselines.get(completion.prompt_index)
        kind = {None: "baseline", "random": "random"}.get(vector, "vector")
        state = "finished" if completion.finished else "live" if self._live else "cut"
        home = self._homes.get(completion.bank_hash or "") if kind == "vector" else None
        row = {"baseline": "Baseline", "random": "Random control"}.get(kind) or _name(vector, home)
        reverse = ", reversed" if kind != "baseline" and completion.radius < 0 else ""
        own_words = home is not None and home.is_kept
        meta = [] if vector is None else [f"R {amount(completion.radius, 4)}"]
        meta += [f"{completion.tokens} tokens", {"finished": "finished", "live": "writing", "cut": "cut"}[state]]
        compared = baseline is not None and vector is not None and (baseline.text or not self._live)
        pieces = mark(baseline.text, completion.text) if compared and baseline else [(completion.text, False)]
        return {
            "key": card_key(completion),
            "kind": kind,
            "bank": completion.bank if home is None else home.name,
            "bank_hash": completion.bank_hash,
            "vector": vector if kind == "vector" else None,
            "prompt": completion.prompt_index,
            "radius": completion.radius,
            "column": "" if vector is None else "own" if self._own else f"{completion.radius:g}",
            "row": row,
            "title": f"{row} at R {amount(abs(completion.radius), 4)}{reverse}" if own_words else row + reverse,
            "name": self._names.get(vector, "") if kind == "vector" and _is_on_shelf(home) else "",
            "origin": "" if kind != "vector" else made_by(home) if home is not None else completion.bank or "",
            "asked": completion.prompt.user,
            "label": kind == "vector" and _is_on_shelf(home),
            "save": own_words,
            "meta": " · ".join(meta),
            "mark": state,
            "pieces": pieces,
            "chips": [] if completion.scores is None else chips(completion.scores),
            "flags": [{"text": flag.kind, "title": flag.reason} for flag in flags],
            "judged": None if said is None else _judged(said),
        }


def _is_on_shelf(home: Home | None) -> bool:
    return home is None or home.place == "shelf"


def _name(vector: int, home: Home | None) -> str:
    """A vector's name. One that is in no bank has a name of its own, and no label of another bank's vector."""
    if home is None or home.place == "shelf":
        return f"Vector {vector}"
    if home.place == "curve":
        return f"{'Random vector' if home.random else 'Vector'} {vector} of the curve"
    if home.layers is not None:
        return f"Vector {vector} of blocks {home.layers[0]} → {home.layers[1]}"
    return f"Vector {vector} of “{home.name}”"


def _judged(said: Judgement) -> dict[str, str]:
    """A judge's verdict, shown below the head with the built-in verdict."""
    message = f"{said.behaviour or 'behaviour not named'}\nJudged by {said.judge}. Above it: the built-in verdict."
    return {"judge": said.model, "verdict": said.verdict, "behaviour": said.behaviour, "title": message}


def chips(scores: Scores) -> list[dict[str, str]]:
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
