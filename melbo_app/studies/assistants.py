"""Models that answer questions about texts: the loaded one, or one behind an endpoint."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.generators import result_of, unless_stopped
from melbo_app.studies.completing import Variant, complete
from melbo_app.studies.judge_endpoint import Endpoint

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

_YES_OR_NO = "Answer with yes or no."
_NUMBER = "Answer with a number from 0 (no) to 10 (yes)."
_SAID = re.compile(r"\d+(?:\.\d+)?")
NUMBER_TOKENS, MOST = 8, 10.0
AT_ONCE = 8
"""Questions that the loaded model reads in one pass."""


class Assistant(Protocol):
    """A model that answers; ``model`` is its name. ``parameter_count`` is None if unknown."""

    model: str
    parameter_count: int | None

    def write(self, question: str, tokens: int) -> str:
        """Its answer in at most ``tokens`` tokens."""
        ...

    def agrees(self, questions: Sequence[str]) -> list[float]:
        """How much it tends to yes rather than no, for each question; larger is more."""
        ...


class LoadedAssistant:
    """The loaded model. ``agrees`` is the log-probability of Yes minus that of No, in nats."""

    def __init__(self, lm: "LanguageModel", batching: Batching, stop: Stop) -> None:
        self._lm, self._batching, self._stop = lm, batching, stop
        self.model = lm.name
        self.parameter_count: int | None = lm.parameter_count

    def write(self, question: str, tokens: int) -> str:
        """Raises Stopped after a stop; "" if the model writes nothing."""
        asked, how = Prompt(question, template=self._lm.usual_template), Decoding(tokens)
        none = lambda _draft: None  # noqa: E731
        work = complete(self._lm, None, [asked], [Variant(None, 0.0)], how, none, self._batching, self._stop)
        try:
            [written], _ = result_of(work)
        except Stopped:
            if self._stop():
                raise
            return ""
        return written.text

    def agrees(self, questions: Sequence[str]) -> list[float]:
        """Raises Stopped after a stop."""
        from melbo_app.engine.choice import choose

        found: list[float] = []
        for start in range(0, len(questions), AT_ONCE):
            asked = [
                Prompt(f"{one}\n{_YES_OR_NO}", template=self._lm.usual_template)
                for one in questions[start : start + AT_ONCE]
            ]
            work = choose(self._lm, asked, ("Yes", "No"), self._batching.memory_gb, self._stop)
            said = self._batching.compute.result(work)
            found += (said[:, 0] - said[:, 1]).tolist()
        return found


class EndpointAssistant:
    """A model behind an endpoint. ``agrees`` is the number from 0 to 10 that it writes."""

    def __init__(self, endpoint: Endpoint, stop: Stop) -> None:
        self._endpoint, self._stop = endpoint, stop
        self.model = endpoint.model
        self.parameter_count: int | None = None

    def write(self, question: str, tokens: int) -> str:
        """Raises InputError if the endpoint fails; Stopped after a stop."""
        return unless_stopped(lambda _: self._endpoint.ask(question, tokens), self._stop)

    def agrees(self, questions: Sequence[str]) -> list[float]:
        """Raises InputError also for an answer without such a number."""
        return [self._number(self.write(f"{one}\n{_NUMBER}", NUMBER_TOKENS)) for one in questions]

    def _number(self, answer: str) -> float:
        said = _SAID.search(answer)
        if said is None or float(said.group()) > MOST:
            problem = f"“{answer[:80]}” is not a number from 0 to 10"
            raise InputError("judge", problem, "Choose a model that follows instructions")
        return float(said.group())
