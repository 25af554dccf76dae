"""Readers: how well descriptions fit texts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.studies.assistants import Assistant

if TYPE_CHECKING:
    import numpy as np

MOST_ASKED, MOST_EMBEDDED = 4, 64
"""Other names with which a name competes: each is a question a text."""
_READ = (
    "Someone asked a language model:\n<question>\n{prompt}\n</question>\n"
    "This is its answer; it may be cut off at its end:\n<answer>\n{text}\n</answer>\n"
    "Does this description fit the answer: “{name}”?"
)


class Reader(Protocol):
    """Scores texts; ``name`` says who it is, ``most`` how many other names it compares with one."""

    name: str
    most: int

    def fits(self, names: Sequence[str], texts: Sequence[str]) -> "np.ndarray":
        """How well each name fits each text, [N, T]; larger is better, in units of its own."""
        ...


class EmbedderReader:
    """The cosine between the embeddings of name and text."""

    name, most = "sentence embedder", MOST_EMBEDDED

    def __init__(self, embed: Callable[[Sequence[str], Stop], "np.ndarray"], stop: Stop) -> None:
        self._embed, self._stop = embed, stop

    def fits(self, names: Sequence[str], texts: Sequence[str]) -> "np.ndarray":
        """Raises InputError without the embedder's weights; Stopped."""
        rows = self._embed([*names, *texts], self._stop)
        return rows[: len(names)] @ rows[len(names) :].T


class AssistantReader:
    """A model that is asked, for each text, whether the name fits."""

    most = MOST_ASKED

    def __init__(self, assistant: Assistant, prompt: Prompt) -> None:
        self._assistant, self._prompt, self.name = assistant, prompt, assistant.model

    def fits(self, names: Sequence[str], texts: Sequence[str]) -> "np.ndarray":
        """Raises InputError if the model cannot be asked; Stopped."""
        import numpy as np

        asked = [_READ.format(prompt=self._prompt.user, text=text, name=name) for name in names for text in texts]
        return np.array(self._assistant.agrees(asked)).reshape(len(names), len(texts))
