"""Scores of a search: how much a text shows of what is looked for, by a regular expression, a flag, a meaning, or a
judge's answer."""

import math
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, get_args

import regex

from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.analysis.readability import legible
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.library.completion import Completion
from melbo_app.limits import MOST_NAME, check_text
from melbo_app.studies.assistants import EndpointAssistant, LoadedAssistant
from melbo_app.studies.judge_address import JudgeAddress
from melbo_app.studies.judging import ASKED

ScoreKind = Literal["regex", "flag", "meaning", "judge"]
KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)
MATCH_SECONDS = 0.5
"""Time limit for a regular expression on one text."""
LOOKED_AT = 10_000
"""Characters of a text in which it is sought."""
ANSWER_TOKENS = 8
_QUESTION = ASKED + "Question about the text: {question}"
_ANSWER = regex.compile(r"\b(yes|no)\b", regex.IGNORECASE)
Scoring = Generator[Progress, None, list[float]]


class Wanted(NamedTuple):
    """What is looked for: the kind of score and its text."""

    kind: ScoreKind
    text: str

    @classmethod
    def read(cls, score: str) -> "Wanted":
        """Reads ``kind:text``. Raises InputError for what cannot be looked for."""
        kind, colon, text = score.partition(":")
        kind, text = kind.strip(), text.strip()
        if not colon or kind not in KINDS:
            remedy = "Write regex:…, flag:…, meaning:… or judge:…"
            raise InputError("score", f"“{score[:80]}” does not say what to look for", remedy)
        if not text:
            raise InputError("score", f"nothing stands after “{kind}:”", "Write what to look for")
        check_text("score", text, MOST_NAME)
        wanted = cls(next(one for one in KINDS if one == kind), text)
        if kind == "regex":
            wanted.pattern()
        if kind == "flag":
            wanted.flag()
        return wanted

    def pattern(self) -> "regex.Pattern[str]":
        """The regular expression. Raises InputError for one that cannot be read, or that matches every text."""
        try:
            pattern = regex.compile(self.text)
        except (regex.error, OverflowError, RecursionError, ValueError) as error:
            raise InputError("score", f"the regular expression cannot be read: {error}", "Correct it") from None
        if _found(pattern, ""):
            raise InputError("score", "the regular expression matches even an empty text", "Say what must be there")
        return pattern

    def flag(self) -> FlagKind:
        """The flag, written with spaces or hyphens. Raises InputError for an unknown one."""
        plain = self.text.replace("-", " ").lower()
        found: FlagKind | None = next((one for one in get_args(FlagKind) if one == plain), None)
        if found is None:
            raise InputError("score", f"there is no flag “{self.text}”", f"Choose {', '.join(get_args(FlagKind))}")
        return found


class Scorer:
    """Scores texts from 0 to 1 (a meaning: the cosine). A broken text scores 0, whatever it contains."""

    def __init__(self, wanted: Wanted, bench: Bench, stop: Stop) -> None:
        self._wanted, self._bench, self._stop = wanted, bench, stop
        self._known: dict[tuple[str, str], float] = {}  # a judge's answers by prompt and text
        self._one: Callable[[Completion, str], float] = self._unscored
        if wanted.kind == "regex":
            pattern = wanted.pattern()
            self._one = lambda text, _: float(_found(pattern, text.text))
        elif wanted.kind == "flag":
            kind = wanted.flag()
            self._one = lambda text, baseline: float(kind in _flags(text, baseline))
        elif wanted.kind == "judge":
            address = JudgeAddress.of(bench.settings)
            asked: YesNo = (
                EndpointYesNo(EndpointAssistant(address.endpoint(), stop), wanted.text)
                if address.url and address.model
                else ModelYesNo(LoadedAssistant(bench.model.get(stop), bench.batching, stop), wanted.text)
            )
            self._one = lambda text, _: self._asked(asked, text)

    def score(self, texts: Sequence[Completion], baselines: Sequence[str]) -> Scoring:
        """The score of each text, beside the unsteered answer to its prompt.

        Raises:
            InputError: the score cannot be had: a match takes too long, or a judge does not answer.
            Stopped: there was a stop before all of them were scored.
        """
        if self._wanted.kind == "meaning":
            yield Progress("embedding", 0, 1)
            rows = self._bench.embed([one.text for one in texts], self._stop)
            cosines = rows @ self._bench.meaning(self._wanted.text)
            return [0.0 if _broken(one) else float(cosine) for one, cosine in zip(texts, cosines, strict=True)]
        found = []
        for one, baseline in zip(texts, baselines, strict=True):
            if self._stop():
                raise Stopped
            found.append(0.0 if _broken(one) else self._one(one, baseline))
            yield Progress("scoring", len(found), len(texts))
        return found

    def _asked(self, judge: "YesNo", one: Completion) -> float:
        key = (one.prompt.user, one.text)
        if key not in self._known:
            self._known[key] = judge.yes(*key)
        return self._known[key]

    def _unscored(self, text: Completion, baseline: str) -> float:
        raise NotImplementedError


class YesNo(Protocol):
    """A judge's answer to a question about a text."""

    def yes(self, prompt: str, text: str) -> float:
        """How likely the answer is yes, from 0 to 1. Raises InputError if it cannot be had; Stopped."""
        ...


class ModelYesNo:
    """The loaded model: how much likelier than usual it finds yes. As in ``judging.py``, its answers about N/A say what
    is usual."""

    def __init__(self, assistant: LoadedAssistant, question: str) -> None:
        self._assistant, self._question = assistant, question

    @cached_property
    def _usual(self) -> float:
        return self._leaning("N/A", "N/A")

    def yes(self, prompt: str, text: str) -> float:
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self._leaning(prompt, text) - self._usual))))

    def _leaning(self, prompt: str, text: str) -> float:
        return self._assistant.agrees([_QUESTION.format(prompt=prompt, text=text, question=self._question)])[0]


class EndpointYesNo:
    """The operator's judge."""

    def __init__(self, assistant: EndpointAssistant, question: str) -> None:
        self._assistant, self._question = assistant, question

    def yes(self, prompt: str, text: str) -> float:
        asked = _QUESTION.format(prompt=prompt, text=text, question=self._question)
        answer = self._assistant.write(asked + "\nAnswer with one word: yes or no.", ANSWER_TOKENS)
        said = _ANSWER.search(answer)
        if said is None:
            shown = " ".join(answer.split())[:80]
            raise InputError("judge", f"“{shown}” is neither yes nor no", "Choose a model that follows instructions")
        return float(said.group().lower() == "yes")


def _found(pattern: "regex.Pattern[str]", text: str) -> bool:
    try:
        return pattern.search(text[:LOOKED_AT], timeout=MATCH_SECONDS, concurrent=True) is not None
    except TimeoutError:
        problem = f"the regular expression takes longer than {MATCH_SECONDS:g} s on one text"
        raise InputError("score", problem, "Write it without repetitions inside repetitions, such as (a+)+") from None


def _flags(one: Completion, baseline: str) -> set[FlagKind]:
    return {flag.kind for flag in flags(one.text, one.prompt.user, one.prompt.system, baseline)}


def _broken(one: Completion) -> bool:
    return not legible(one.text, one.verdict)
