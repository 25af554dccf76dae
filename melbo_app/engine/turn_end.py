"""The end of a turn: end tokens from the model's files, and the text of its chat templates after an answer."""

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from melbo_app.engine import chat_template

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel


SHORTEST = 4
"""Minimum characters of words that end a text: answers may contain a bar or a quotation mark."""


@dataclass(frozen=True)
class TurnEnd:
    """The tokens and words that end a text.

    Attributes:
        tokens: ids of tokens that end it.
        words: texts of several ordinary tokens, such as the header of the next user's turn. They end only texts of
            prompts in a chat template.
        templates: whether the templates add to the files' end tokens.
    """

    tokens: frozenset[int]
    words: tuple[str, ...] = ()
    templates: bool = False

    @property
    def key(self) -> str:
        """Part of a completion's key: distinguishes it from texts that end only at the files' tokens; else empty."""
        return f" ends at {sorted(self.tokens)} {list(self.words)}" if self.templates else ""

    @property
    def reach(self) -> int:
        """Number of last tokens that can contain ``words``: a token has at least one byte, and the first may start
        before them."""
        return max((len(word.encode()) for word in self.words), default=0) + 1

    def closes(self, tokenizer: Any, ids: list[int]) -> bool:
        """Whether the last tokens complete one of ``words``."""
        newest = tokenizer.decode(ids[-self.reach :], skip_special_tokens=True)
        return any(word in newest for word in self.words)

    def cut(self, tokenizer: Any, ids: list[int], templated: bool) -> tuple[str, list[int], bool]:
        """The text and the tokens of a row up to its end, and whether it has ended."""
        if ids and ids[-1] in self.tokens:
            return tokenizer.decode(ids[:-1], skip_special_tokens=True), ids[:-1], True
        text = tokenizer.decode(ids, skip_special_tokens=True)
        ends = [text.index(word) for word in self.words if word in text] if templated else []
        if not ends:
            return text, ids, False
        text = text[: min(ends)]
        kept = next(
            count
            for count in range(len(ids) + 1)
            if tokenizer.decode(ids[:count], skip_special_tokens=True).startswith(text)
        )
        return text, ids[:kept], True


def turn_end(lm: "LanguageModel") -> TurnEnd:
    """The end of this model's texts: the end tokens of its generation config and its tokenizer, and for each chat
    template the first special token after an assistant's message, or else the words there."""
    listed = getattr(getattr(lm.model, "generation_config", None), "eos_token_id", None)
    known = set(listed if isinstance(listed, list | tuple) else [] if listed is None else [int(listed)])
    if lm.tokenizer.eos_token_id is not None:
        known.add(lm.tokenizer.eos_token_id)
    listed_count = len(known)
    words = []
    for ended, followed in chat_template.after_answers(lm):
        # some templates always begin the next turn: only text that any next turn shares is the end
        both = _common_begin(lm.tokenizer, ended, followed)
        for written in (both, ended, followed) if not both.strip() else (both,):
            if (mark := _mark(lm.tokenizer, written)) is not None:
                known.add(mark)
                break
        else:
            # stripped, because white space merges with the text around; a newline tells a header from a word
            written = both if both.strip() else followed
            if len(stripped := written.strip()) >= SHORTEST:
                words.append("\n" * ("\n" in written[: written.index(stripped)]) + stripped)
    return TurnEnd(frozenset(known), tuple(dict.fromkeys(words)), bool(words) or len(known) > listed_count)


def _common_begin(tokenizer: Any, one: str, other: str) -> str:
    """The common first tokens of two texts, as text. Tokens, so that no special token is cut."""
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other)]
    common = [pair[0] for pair in takewhile(lambda pair: pair[0] == pair[1], zip(*rows, strict=False))]
    return tokenizer.decode(common, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _mark(tokenizer: Any, written: str) -> int | None:
    """The first special token of a text."""
    marks = {id for id, mark in tokenizer.added_tokens_decoder.items() if str(mark).strip()}
    return next((token for token in tokenizer(written, add_special_tokens=False)["input_ids"] if token in marks), None)
