"""Prompts as the exact tokens that the model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from melbo_app.engine import chat_template
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError
from melbo_app.limits import check_prompts


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts as tokens, padded on the left to a common length: P prompts of T tokens."""

    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    """The tokenized text of each prompt, with the chat template."""
    input_ids: Tensor
    """[P, T] int64."""
    attention_mask: Tensor
    """[P, T] int64: 0 at padding."""
    tail: Tensor
    """[P, T] bool: the chat template's tokens after the last user message; all False without a template."""

    @cached_property
    def position_ids(self) -> Tensor:
        """[P, T] int64: positions counted from the first real token."""
        return (self.attention_mask.cumsum(-1) - 1).clamp(min=0)

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """The sha256 of each prompt's token ids, without the padding."""
        rows = zip(self.input_ids.cpu(), self.attention_mask.cpu().bool(), strict=True)
        return tuple(sha256(ids[real].numpy().tobytes()).hexdigest() for ids, real in rows)

    def take(self, rows: Sequence[int]) -> "EncodedPrompts":
        """The prompts of ``rows``, in this order and with the same padding; rows may repeat."""
        at = list(rows)
        prompts, texts = tuple(self.prompts[row] for row in at), tuple(self.texts[row] for row in at)
        return EncodedPrompts(prompts, texts, self.input_ids[at], self.attention_mask[at], self.tail[at])

    def followed(self, of: Tensor, ids: Tensor) -> tuple["EncodedPrompts", Tensor]:
        """Prompts with further tokens behind them: prompt ``of`` [rows] with ``ids`` [rows, n]. Equal ones stand once;
        the second result is the place of each row."""
        wanted, places = torch.cat([of[:, None], ids], dim=1).unique(dim=0, return_inverse=True)
        some, more = self.take(wanted[:, 0].tolist()), wanted[:, 1:]
        parts = ((some.input_ids, more), (some.attention_mask, torch.ones_like(more)), (some.tail, more < 0))
        return EncodedPrompts(some.prompts, some.texts, *(torch.cat(part, dim=1) for part in parts)), places


def encode(lm: LanguageModel, prompts: Sequence[Prompt], stop: Stop | None = None) -> EncodedPrompts:
    """Tokenize prompts exactly as the model reads them.

    Args:
        stop: called between two prompts.

    Raises:
        InputError: no prompt, too many, an empty one, a chat template or system text that the model does not support, a
            token without a row in the embedding, or more tokens than the model's context.
        Stopped: ``stop()`` became true.
    """
    if not prompts:
        raise InputError("prompt", "there is none", "Write a text for the model to answer")
    check_prompts(prompts)
    encoded = []
    for number, prompt in enumerate(prompts, start=1):
        if number > 1:
            raise_if(stop)
        encoded.append(_encode_one(lm, prompt, number))
    texts = tuple(text for text, _, _ in encoded)
    rows = [torch.tensor(ids, device=lm.device) for _, ids, _ in encoded]
    tails = [torch.arange(len(ids), device=lm.device) >= len(ids) - tail for _, ids, tail in encoded]
    return EncodedPrompts(
        tuple(prompts),
        texts,
        padded(rows, lm.tokenizer.pad_token_id),
        padded([torch.ones_like(row) for row in rows]),
        padded(tails),
    )


def padded(rows: Sequence[Tensor], value: int = 0) -> Tensor:
    """``rows``, padded on the left with ``value`` to the longest."""
    return pad_sequence([*rows], batch_first=True, padding_value=value, padding_side="left")


def gathered(lm: LanguageModel, several: Sequence[EncodedPrompts]) -> tuple[EncodedPrompts, list[list[int]]]:
    """The distinct prompts of several calls, padded to the longest, and for each call the rows of its prompts."""
    if len(several) == 1:
        return several[0], [[*range(len(several[0].prompts))]]
    found: dict[tuple[str, int], tuple[EncodedPrompts, int]] = {}
    keys = [[*zip(one.hashes, one.tail.sum(dim=1).tolist(), strict=True)] for one in several]
    for one, own in zip(several, keys, strict=True):
        for row, key in enumerate(own):
            found.setdefault(key, (one, row))
    places = {key: place for place, key in enumerate(found)}
    rows = [*found.values()]
    together = EncodedPrompts(
        tuple(one.prompts[row] for one, row in rows),
        tuple(one.texts[row] for one, row in rows),
        padded([one.input_ids[row] for one, row in rows], lm.tokenizer.pad_token_id),
        padded([one.attention_mask[row] for one, row in rows]),
        padded([one.tail[row] for one, row in rows]),
    )
    return together, [[places[key] for key in own] for own in keys]


def pieces(lm: LanguageModel, encoded: EncodedPrompts, row: int) -> list[str]:
    """The text of each token of one prompt, without the padding; joined they are the prompt as the model reads it."""
    ids = encoded.input_ids[row][encoded.attention_mask[row] == 1].tolist()
    texts: list[str] = []
    # decoded together with the piece before, because the first token of a text may lose its leading space
    before, begin = 0, 0
    for end in range(1, len(ids) + 1):
        known, text = (
            lm.tokenizer.decode(ids[before:to], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            for to in (begin, end)
        )
        # a character may span several tokens: it is shown with the last one
        whole = end == len(ids) or not text.endswith("�")
        texts.append(text[len(known) :] if whole else "")
        if whole:
            before, begin = begin, end
    return texts


def token_text(lm: LanguageModel, token: int) -> str:
    """The text of one token in the middle of a text; "�" where it is only part of a character."""
    # after another token, because the first token of a text may lose its leading space
    before = lm.tokenizer("a", add_special_tokens=False)["input_ids"]
    known, text = (
        lm.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        for ids in (before, [*before, token])
    )
    return text[len(known) :]


def _encode_one(lm: LanguageModel, prompt: Prompt, number: int) -> tuple[str, list[int], int]:
    """The text, its token ids, and how many of them are the chat template's after the user message."""
    if not prompt.user.strip():
        raise InputError("prompt", f"prompt {number} is empty", "Write a text for the model to answer")
    for field, written in (("prompt", prompt.user), ("system text", prompt.system or "")):
        if any("\ud800" <= letter <= "\udfff" for letter in written):
            problem = f"{field} {number} has an invalid character (half of a surrogate pair)"
            raise InputError(field, problem, "Remove it, or paste the text again")
    if not prompt.template:
        if prompt.system:
            remedy = "Switch the template on or remove the text"
            raise InputError("system text", "it needs the chat template, which is off", remedy)
        text, tail = prompt.user, ""
        ids = _begun(lm, text)
    else:
        rendering = chat_template.render(lm, prompt)
        text, tail = rendering.text, rendering.tail
        ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:  # some tokenizers drop unknown characters
        problem = f"prompt {number} is empty for {lm.name}, whose tokenizer drops all its characters"
        raise InputError("prompt", problem, "Write a text for the model to answer")
    beyond = next((token for token in ids if token >= lm.known_ids), None)
    if beyond is not None:
        problem = f"prompt {number} has the token “{lm.tokenizer.convert_ids_to_tokens(beyond)}” ({beyond:,})"
        problem = f"{problem}, and the embedding of {lm.name} ends at {lm.known_ids - 1:,}"
        raise InputError("prompt", problem, "Remove it, or load the tokenizer that these weights were trained with")
    if lm.context is not None and len(ids) >= lm.context:
        problem = f"prompt {number} has {len(ids):,} tokens and {lm.name} reads at most {lm.context:,}"
        raise InputError("prompt", problem, "Shorten it and leave room for the completion")
    # a slow tokenizer has no offsets, and so cannot find the tail's tokens
    if not tail or not lm.tokenizer.is_fast:
        return text, ids, 0
    offsets = lm.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text, ids, sum(start >= len(text) - len(tail) for start, _ in offsets)


def _begun(lm: LanguageModel, text: str) -> list[int]:
    """The tokens of a text to be continued: with one beginning-of-text token, if the tokenizer adds it, and no end."""
    bare = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    marked = lm.tokenizer(text, add_special_tokens=True)["input_ids"]
    for count in range(len(marked) - len(bare) + 1):
        if marked[count : count + len(bare)] == bare:
            begin = marked[:count]
            return bare if bare[:count] == begin else [*begin, *bare]
    return marked
