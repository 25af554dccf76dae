"""Where a trigger stands in a prompt: the tokens before and behind it, and which strings keep their tokens there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from melbo_app.engine.encoding import encode, token_text
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError

Where = Literal["end", "begin"]
PROBE = "x x x x"
"""Stands where the trigger will be, to find the tokens around it."""
ASKED_EVERY = 2_000
"""Tokens of the vocabulary that are read between two questions whether to stop."""


@dataclass(frozen=True)
class Place:
    """A prompt around a trigger.

    Attributes:
        left, right: the text before and behind the trigger, with the chat template.
        before, after: their tokens.
        marks: how many of ``before`` stand for no text, such as the token that begins every text.
        tail: how many of ``after`` are the template's tokens behind the user's text; 0 without a template.
    """

    left: str
    right: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    marks: int
    tail: int


def with_trigger(prompt: Prompt, trigger: str, where: Where) -> Prompt:
    """The same prompt with the trigger at the end of the user's text, or at its beginning with a space behind it. A
    trigger at the end brings its own space."""
    user = prompt.user + trigger if where == "end" else f"{trigger} {prompt.user}"
    return Prompt(user, prompt.system, prompt.template)


def places(lm: LanguageModel, prompts: Sequence[Prompt], where: Where, stop: Stop | None = None) -> list[Place]:
    """The place of a trigger in each prompt.

    Raises:
        InputError: a prompt that the model cannot read, or a tokenizer that does not say where tokens stand in a text.
        Stopped: ``stop()`` became true.
    """
    if not lm.tokenizer.is_fast:
        problem = f"the tokenizer of {lm.name} does not say where its tokens stand in a text"
        raise InputError("model", problem, "Choose a model with a fast tokenizer (tokenizer.json)")
    found = []
    for prompt in prompts:
        raise_if(stop)
        probe = f" {PROBE}" if where == "end" else PROBE
        encoded = encode(lm, [with_trigger(prompt, probe, where)])
        text, ids = encoded.texts[0], encoded.input_ids[0].tolist()
        begin = text.rfind(probe if where == "end" else f"{probe} {prompt.user[:8].rstrip()}")
        end = begin + len(probe)
        spans = lm.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        marks = len(ids) - len(spans)
        before = marks + sum(last <= begin for _, last in spans)
        after = len(ids) - sum(first >= end for first, _ in spans)
        around = (tuple(ids[:before]), tuple(ids[after:]))
        found.append(Place(text[:begin], text[end:], *around, marks, int(encoded.tail.sum())))
    return found


def printable_tokens(lm: LanguageModel, stop: Stop | None = None) -> dict[int, str]:
    """The tokens that a trigger may have, and the text of each: printable, not blank, whole characters, and no special
    tokens. Raises Stopped."""
    tokenizer = lm.tokenizer
    size = min(lm.known_ids, len(tokenizer))
    special = {*getattr(tokenizer, "all_special_ids", []), *getattr(tokenizer, "added_tokens_decoder", {})}
    found = {}
    for token in range(size):
        if token % ASKED_EVERY == 0:
            raise_if(stop)
        if token in special:
            continue
        text = token_text(lm, token)
        if text.strip() and text.isprintable() and "�" not in text:
            found[token] = text
    return found


def keep_their_tokens(lm: LanguageModel, around: Sequence[Place], ids: Tensor, texts: dict[int, str]) -> Tensor:
    """Which triggers are read back as the same tokens in every place: [C] bool.

    Args:
        ids: [C, n] int64.
        texts: of each token.
    """
    rows = ids.tolist()
    strings = ["".join(texts[token] for token in row) for row in rows]
    keeps = [True] * len(rows)
    for one in around:
        left = [at for at, kept in enumerate(keeps) if kept]
        if not left:
            break
        read = lm.tokenizer([one.left + strings[at] + one.right for at in left], add_special_tokens=False)["input_ids"]
        for at, tokens in zip(left, read, strict=True):
            keeps[at] = [*one.before[one.marks :], *rows[at], *one.after] == tokens
    return torch.tensor(keeps)
