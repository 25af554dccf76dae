"""Where a turn ends: what the model's files call an end, and what its chat templates write after an answer."""

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from melbo_app.engine import chat_template

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel


SHORTEST = 4
"""Characters of words that end a text, at least: a bar or a quotation mark stands in answers as well."""


@dataclass(frozen=True)
class TurnEnd:
    """What ends a text.

    Attributes:
        tokens: ids of single tokens, each of which ends it.
        words: texts of several ordinary tokens, such as the header of the next user's turn. They count in prompts that
            go in with the chat template: elsewhere they are words like others.
        templates: whether the templates say more than the files do.
    """

    tokens: frozenset[int]
    words: tuple[str, ...] = ()
    templates: bool = False

    @property
    def key(self) -> str:
        """Tells texts that end here from those that ended where the files say; empty where that is the same."""
        return f" ends at {sorted(self.tokens)} {list(self.words)}" if self.templates else ""

    @property
    def reach(self) -> int:
        """Tokens at the end of a text that ``words`` can lie in: a token has a byte at least, and what stands before
        them may have merged with their beginning."""
        return max((len(word.encode()) for word in self.words), default=0) + 1

    def closes(self, tokenizer: Any, ids: list[int]) -> bool:
        """Whether a text of these tokens has just come to one of ``words``."""
        newest = tokenizer.decode(ids[-self.reach :], skip_special_tokens=True)
        return any(word in newest for word in self.words)

    def cut(self, tokenizer: Any, ids: list[int], templated: bool) -> tuple[str, list[int], bool]:
        """The text of a row's tokens and those of it, without its end, and whether it came to one."""
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
    """What ends a text of this model: the list of its generation's configuration, its tokenizer's mark, and what its
    chat templates write after an assistant's message.

    Of the latter the first token that the tokenizer knows as a mark of its own counts; where there is none, the words.
    """
    listed = getattr(getattr(lm.model, "generation_config", None), "eos_token_id", None)
    known = set(listed if isinstance(listed, list | tuple) else [] if listed is None else [int(listed)])
    if lm.tokenizer.eos_token_id is not None:
        known.add(lm.tokenizer.eos_token_id)
    listed_count = len(known)
    words = []
    for after in chat_template.after_answers(lm):
        # some templates begin the next answer in any case: what comes before any other turn is the end
        both = _common_begin(lm.tokenizer, after.end, after.next)
        for written in (both, after.end, after.next) if not both.strip() else (both,):
            if (mark := _mark(lm.tokenizer, written)) is not None:
                known.add(mark)
                break
        else:
            # blanks before and after merge with what is around; a line's beginning sets a header apart from a word
            written = both if both.strip() else after.next
            if len(stripped := written.strip()) >= SHORTEST:
                words.append("\n" * ("\n" in written[: written.index(stripped)]) + stripped)
    return TurnEnd(frozenset(known), tuple(dict.fromkeys(words)), bool(words) or len(known) > listed_count)


def _common_begin(tokenizer: Any, one: str, other: str) -> str:
    """The tokens that two texts begin with in common, as text: half of a mark is none."""
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other)]
    common = [pair[0] for pair in takewhile(lambda pair: pair[0] == pair[1], zip(*rows, strict=False))]
    return tokenizer.decode(common, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _mark(tokenizer: Any, written: str) -> int | None:
    """The first token of a text that the tokenizer knows as a mark of its own."""
    marks = {id for id, mark in tokenizer.added_tokens_decoder.items() if str(mark).strip()}
    return next((token for token in tokenizer(written, add_special_tokens=False)["input_ids"] if token in marks), None)
