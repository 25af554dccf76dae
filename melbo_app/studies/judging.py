"""Judges: readability and behaviour of a text, from the loaded model or a model behind an endpoint."""

import functools
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, get_args

import numpy as np

from melbo_app.analysis.language import dictionary_words, language, repetition
from melbo_app.analysis.readability import Verdict, verdict_on
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.generators import result_of, unless_stopped
from melbo_app.jobs.progress import Progress
from melbo_app.library.judges import GradedText, Judgement, JudgeScore
from melbo_app.studies.completing import Variant, complete
from melbo_app.studies.judge_endpoint import Endpoint

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

QUESTION = 1
"""Version of the wording below; a judge's score holds only for the wording it was measured with."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
NAME_TOKENS, ANSWER_TOKENS = 12, 60
LONGEST_NAME = 80
ASKED = """Someone wrote to an assistant:
<prompt>
{prompt}
</prompt>
This is what came back; it may be cut off at its end:
<text>
{text}
</text>
"""
_GRADES = """readable: fluent sentences from beginning to end, true or not, about the question or not.
strange: pieces of it can be understood.
broken: word salad, fragments, or a loop.
"""
_GRADE = ASKED + "How readable is the text?\n" + _GRADES + "Answer with one word: readable, strange or broken."
_NAME = ASKED + "Name in at most five words what the assistant does in this text. Answer with these words only."
_BOTH = (
    ASKED + "How readable is the text?\n" + _GRADES + "Then name in at most five words what the assistant does in it. "
    "Answer in two lines:\nGrade: readable, strange or broken\nBehaviour: the words"
)
_ANSWERED = re.compile(r"\b(readable|strange|broken)\b", re.IGNORECASE)
_BEHAVIOUR = re.compile(r"^\W*behaviou?r\W*:\W*(.+)$", re.IGNORECASE | re.MULTILINE)


class Judge(Protocol):
    """Judges texts one by one; ``identity`` is unique among judges, ``model`` is its model's name."""

    identity: str
    model: str

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """The judgement of ``text``, an answer to ``prompt``; with a name for the behaviour if ``name`` is set."""
        ...


class ModelJudge:
    """The loaded model: its verdict is the likeliest of the three words, and it generates a name for the behaviour.

    From the log-probability of each word we subtract the one with N/A for prompt and text (contextual calibration, Zhao
    et al. 2021, Calibrate Before Use).
    """

    def __init__(self, lm: "LanguageModel", batching: Batching, stop: Callable[[], bool]) -> None:
        self._lm, self._batching, self._stop = lm, batching, stop
        self.identity = f"{lm.name} {lm.weights_hash[:16]}, question {QUESTION}"
        self.model = lm.name

    @functools.cached_property
    def _usual(self) -> np.ndarray:
        return self._likelihoods("N/A", "N/A")

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """Raises InputError for a text that is too long for the model; Stopped after a stop."""
        gains = self._likelihoods(prompt, text) - self._usual
        return Judgement(
            judge=self.identity,
            model=self.model,
            verdict=VERDICTS[int(gains.argmax())],
            behaviour=self._name(prompt, text) if name else "",
        )

    def _likelihoods(self, prompt: str, text: str) -> np.ndarray:
        from melbo_app.engine.choice import choose

        asked = Prompt(_GRADE.format(prompt=prompt, text=text), template=self._lm.usual_template)
        work = choose(self._lm, [asked], VERDICTS, self._batching.memory_gb, self._stop)
        return self._batching.compute.result(work)[0]

    def _name(self, prompt: str, text: str) -> str:
        asked = Prompt(_NAME.format(prompt=prompt, text=text), template=self._lm.usual_template)
        rows, how = [Variant(None, 0.0)], Decoding(NAME_TOKENS)
        work = complete(self._lm, None, [asked], rows, how, lambda _draft: None, self._batching, self._stop)
        try:
            [named], _ = result_of(work)
        except Stopped:
            if self._stop():
                raise
            return ""  # it generated no token
        return _short(named.text)


class EndpointJudge:
    """A model behind an endpoint: one question asks for both."""

    def __init__(self, endpoint: Endpoint, stop: Callable[[], bool] = lambda: False) -> None:
        self._endpoint, self._stop = endpoint, stop
        self.identity = f"{endpoint.model} at {endpoint.url}, question {QUESTION}"
        self.model = endpoint.model

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """Raises InputError if the endpoint fails or answers without one of the three words; Stopped after a stop."""
        question = _BOTH.format(prompt=prompt, text=text)
        answer = unless_stopped(lambda _: self._endpoint.ask(question, ANSWER_TOKENS), self._stop)
        grade = _ANSWERED.search(answer)
        if grade is None:
            problem = f"“{_short(answer)}” is not readable, strange or broken"
            raise InputError("judge", problem, "Choose a model that follows instructions")
        behaviour = _BEHAVIOUR.search(answer)
        verdict: Verdict = next(one for one in VERDICTS if one == grade.group().lower())
        said = _short(behaviour.group(1)) if behaviour else ""
        return Judgement(judge=self.identity, model=self.model, verdict=verdict, behaviour=said)


@dataclass(frozen=True)
class Standing:
    """A judge's score beside that of the built-in verdict on the same texts; None: it was never scored."""

    judge: str
    score: JudgeScore | None
    built_in: JudgeScore

    @property
    def on(self) -> bool:
        """Whether the judge agrees with the reader more often than the built-in verdict does."""
        return self.score is not None and _share(self.score) > _share(self.built_in)

    def check(self) -> None:
        """Raises InputError if the judge is off, with the reason."""
        if self.score is None:
            raise InputError("judge", f"{self.judge} was never compared with a reader", "Score it first")
        if not self.on:
            problem = (
                f"{self.judge} agrees with a reader on {self.score.same} of {self.score.texts} texts, and the built-in "
                f"verdict on {self.built_in.same} of {self.built_in.texts}"
            )
            raise InputError("judge", problem, "It stays off; choose another one")


def judge_all(
    judge: Judge, texts: Sequence[tuple[str, str]], stop: Callable[[], bool], found: list[Judgement], *, name: bool
) -> Generator[Progress, None, None]:
    """Add the judgements of (prompt, text) pairs to ``found``, one after the other, until a stop."""
    for done, (prompt, text) in enumerate(texts):
        if stop():
            return
        yield Progress("judging", done, len(texts))
        try:
            found.append(judge.judge(prompt, text, name=name))
        except Stopped:
            return


def score(
    judge: Judge, graded: Sequence[GradedText], stop: Callable[[], bool]
) -> Generator[Progress, None, JudgeScore | None]:
    """How often ``judge`` agrees with the reader on these texts; None after a stop before the last one."""
    found: list[Judgement] = []
    yield from judge_all(judge, [(one.prompt, one.text) for one in graded], stop, found, name=False)
    return None if len(found) < len(graded) else _agreement(judge.identity, graded, [one.verdict for one in found])


def built_in(graded: Sequence[GradedText]) -> JudgeScore:
    """The same for the current built-in verdict, with the losses and surprisals stored with the texts."""
    return _agreement("built-in verdict", graded, [built_in_verdict(one) for one in graded])


@functools.cache
def built_in_verdict(graded: GradedText) -> Verdict:
    """The verdict on the card of such a text."""
    known = dictionary_words(graded.text, language(graded.text))
    return verdict_on(graded.text, graded.loss, graded.peak_surprisal, graded.tokens, repetition(graded.text), known)[1]


def _agreement(judge: str, graded: Sequence[GradedText], verdicts: Sequence[Verdict]) -> JudgeScore:
    pairs = [(one.grade, verdict) for one, verdict in zip(graded, verdicts, strict=True)]
    return JudgeScore(
        judge=judge,
        texts=len(pairs),
        same=sum(grade == verdict for grade, verdict in pairs),
        same_readable=sum((grade == "readable") == (verdict == "readable") for grade, verdict in pairs),
    )


def _share(score: JudgeScore) -> float:
    return score.same / score.texts


def _short(text: str) -> str:
    line = next((line.strip(" \"'“”*.") for line in text.splitlines() if line.strip()), "")
    return line[:LONGEST_NAME]
