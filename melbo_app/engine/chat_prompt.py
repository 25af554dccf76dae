"""A prompt in the middle of a conversation."""

import re
from dataclasses import dataclass

from melbo_app.engine.prompt import Prompt
from melbo_app.limits import check_texts_together

_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)


@dataclass(frozen=True)
class ChatPrompt(Prompt):
    """A user's message after ``earlier`` ones, each with the answer that it got."""

    earlier: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        texts = (text for exchange in self.earlier for text in exchange)
        check_texts_together("conversation", [self.user, self.system, *texts])


def said(answer: str) -> str:
    """An answer without its thoughts, which templates leave out of earlier ones."""
    return _THOUGHT.sub("", answer).strip()
