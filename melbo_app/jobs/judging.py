"""A judge's verdict: how readable a text is and what is done in it, asked of a model here or behind an endpoint."""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, get_args

import numpy as np

from melbo_app.analysis.readability import Verdict
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.endpoint import Endpoint
from melbo_app.jobs.steering import Variant, complete
from melbo_app.library.judges import GradedText, JudgeScore

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel

QUESTION = 1
"""Of the wording below: a judge's score counts for the wording under which it was taken."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
BUILT_IN = JudgeScore(judge="built-in verdict", texts=70, same=58, same_readable=61)
"""The verdict of ``analysis/readability`` on the held-out texts; tests/real/test_readability.py measures it."""
NAME_TOKENS, ANSWER_TOKENS = 12, 60
LONGEST_NAME = 80
_ASKED = """Someone wrote to an assistant:
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
_GRADE = _ASKED + "How readable is the text?\n" + _GRADES + "Answer with one word: readable, strange or broken."
_NAME = _ASKED + "Name in at most five words what the assistant does in this text. Answer with these words only."
_BOTH = (
    _ASKED + "How readable is the text?\n" + _GRADES + "Then name in at most five words what the assistant does in it. "
    "Answer in two lines:\nGrade: readable, strange or broken\nBehaviour: the words"
)
_ANSWERED = re.compile(r"\b(readable|strange|broken)\b", re.IGNORECASE)
_BEHAVIOUR = re.compile(r"^\W*behaviou?r\W*:\W*(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one text: its verdict, and the behaviour in a few words ('' where it was not asked)."""

    verdict: Verdict
    behaviour: str


@dataclass(frozen=True)
class JudgeProgress:
    """How many texts are judged."""

    stage: str
    done: int
    total: int


class Judge(Protocol):
    """Judges texts one by one; ``identity`` tells it from every other judge."""

    identity: str

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """What it says of ``text``, an answer to ``prompt``; the behaviour is named only where ``name`` is set."""
        ...


class ModelJudge:
    """The loaded model: its verdict is the likeliest of the three words, its name for the behaviour is generated.

    What each word has anyway is taken off: its log-probability where the prompt and the text are N/A (contextual
    calibration, Zhao et al. 2021, Calibrate Before Use).
    """

    def __init__(self, lm: "LanguageModel", batching: Batching, stop: Callable[[], bool]) -> None:
        self._lm, self._batching, self._stop = lm, batching, stop
        self.identity = f"{lm.name} {lm.weights_hash[:16]}, question {QUESTION}"
        self._usual = self._likelihoods("N/A", "N/A")

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """Raises InputError for a text that is too long for the model, Stopped when stopped."""
        gains = self._likelihoods(prompt, text) - self._usual
        return Judgement(VERDICTS[int(gains.argmax())], self._name(prompt, text) if name else "")

    def _likelihoods(self, prompt: str, text: str) -> np.ndarray:
        from melbo_app.engine.choice import choose

        asked = Prompt(_GRADE.format(prompt=prompt, text=text), template=self._lm.has_template)
        return self._batching.compute.result(choose(self._lm, asked, VERDICTS, self._batching.memory_gb, self._stop))

    def _name(self, prompt: str, text: str) -> str:
        asked = Prompt(_NAME.format(prompt=prompt, text=text), template=self._lm.has_template)
        rows, how = [Variant(None, 0.0)], Decoding(NAME_TOKENS)
        work = complete(self._lm, None, [asked], rows, how, lambda _draft: None, self._batching, self._stop)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return _short(end.value[0][0].text)
            except Stopped:
                if self._stop():
                    raise
                return ""  # it had nothing to say


class EndpointJudge:
    """A model behind an endpoint: it is asked once for both."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.identity = f"{endpoint.model} at {endpoint.url}, question {QUESTION}"

    def judge(self, prompt: str, text: str, *, name: bool) -> Judgement:
        """Raises InputError where the endpoint fails, or answers without one of the three words."""
        answer = self._endpoint.ask(_BOTH.format(prompt=prompt, text=text), ANSWER_TOKENS)
        grade = _ANSWERED.search(answer)
        if grade is None:
            problem = f"“{_short(answer)}” is none of readable, strange and broken"
            raise InputError("judge", problem, "Choose a model that follows instructions")
        behaviour = _BEHAVIOUR.search(answer)
        verdict: Verdict = next(one for one in VERDICTS if one == grade.group().lower())
        return Judgement(verdict, _short(behaviour.group(1)) if behaviour else "")


def judge_all(
    judge: Judge, texts: Sequence[tuple[str, str]], stop: Callable[[], bool], *, name: bool
) -> Generator[JudgeProgress, None, list[Judgement]]:
    """What ``judge`` says of (prompt, text) pairs; those judged so far, when stopped."""
    found: list[Judgement] = []
    for prompt, text in texts:
        if stop():
            break
        yield JudgeProgress("judging", len(found), len(texts))
        try:
            found.append(judge.judge(prompt, text, name=name))
        except Stopped:
            break
    return found


def score(
    judge: Judge, graded: Sequence[GradedText], stop: Callable[[], bool]
) -> Generator[JudgeProgress, None, JudgeScore | None]:
    """How often ``judge`` agrees with the reader on the texts that the built-in verdict was not fitted to; None when
    stopped before the last of them."""
    held_out = [one for one in graded if one.part == "held out"]
    found = yield from judge_all(judge, [(one.prompt, one.text) for one in held_out], stop, name=False)
    if len(found) < len(held_out) or not held_out:
        return None
    pairs = [(one.grade, said.verdict) for one, said in zip(held_out, found, strict=True)]
    return JudgeScore(
        judge=judge.identity,
        texts=len(pairs),
        same=sum(grade == verdict for grade, verdict in pairs),
        same_readable=sum((grade == "readable") == (verdict == "readable") for grade, verdict in pairs),
    )


def beats_built_in(score: JudgeScore) -> bool:
    """Whether a judge says the reader's word more often than the built-in verdict does."""
    return score.same / score.texts > BUILT_IN.same / BUILT_IN.texts


def check_worth(judge: str, score: JudgeScore | None) -> None:
    """Raises InputError for a judge (by its identity) that never was scored, or does not beat the built-in verdict."""
    remedy = "Score it: python -m melbo_app judge --score"
    if score is None:
        raise InputError("judge", f"{judge} was never compared with a reader", remedy)
    if not beats_built_in(score):
        problem = (
            f"{judge} says what a reader says of {score.same} of {score.texts} texts, and the built-in verdict "
            f"of {BUILT_IN.same} of {BUILT_IN.texts}"
        )
        raise InputError("judge", problem, "It stays off; choose another one")


def _short(text: str) -> str:
    line = next((line.strip(" \"'“”*.") for line in text.splitlines() if line.strip()), "")
    return line[:LONGEST_NAME]
