"""Reliability: how steadily vectors move a propensity, input by input and in other settings (Tan et al. 2024)."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from melbo_app.analysis.steerability import MULTIPLES
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank
from melbo_app.library.contrast_sets import Setting
from melbo_app.library.prompt_sets import MOST_PROMPTS
from melbo_app.library.reliability import Reliability, SteeredInputs, Values, request_key
from melbo_app.limits import MOST_NEW_TOKENS, check_range
from melbo_app.quoting import shown
from melbo_app.studies.completing import variants
from melbo_app.studies.generality import LEAST_RANDOM, MOST_RANDOM, RANDOM, random_bank
from melbo_app.studies.measure import Measure, two_answers
from melbo_app.studies.propensity import Odds, Pair, Texts, check_size
from melbo_app.studies.reliability_answer import Reliable, lines_of, reliable

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

LEAST_INPUTS, MOST_SETTINGS = 10, 9
TOKENS = 40
"""Default length of texts."""
STEP = 1000
NOTHING = "Stopped before the first vector was finished: nothing is kept."
STEERED = [one for one in MULTIPLES if one]
AT_ZERO = MULTIPLES.index(0.0)


@dataclass(frozen=True, kw_only=True)
class ReliabilityProgress(Progress):
    """The progress of a reliability; ``found`` is the result on the finished vectors, None before the first."""

    found: Reliability | None = None


@dataclass(frozen=True)
class _Direction:
    """A vector to try, of ``bank``, at R."""

    bank: Bank
    number: int
    radius: float
    is_random: bool


class MeasureReliability(Study[Reliability]):
    """How steadily does each vector move a propensity, input by input, and in other settings, beside random vectors?

    The propensity of an input, its log-odds of two answers or a sign in the text it writes, is measured at multiples of
    R from −1.5 to 1.5; the slope is the input's steerability. Finished vectors are kept, and looked up when the same is
    asked again.
    """

    kind: ClassVar[str] = "reliability"
    doors = frozenset()

    bank: str
    settings: tuple[Setting, ...]
    """The first one is that on which vectors are judged; the others are out of its distribution."""
    vectors: tuple[int, ...] | None = None
    """None: all vectors of the bank."""
    radius: float | None = None
    """R; None: each vector at its own norm."""
    random: int = RANDOM
    answers: str | None = None
    """The same two answers for all inputs, as Yes|No."""
    measure: str | None = None
    """As ``Measure.parse`` reads it; None: ``answers``, or those of each input."""
    max_new_tokens: int = TOKENS
    seed: int = 0
    """Of random vectors, bootstrap draws and shufflings."""

    @property
    def title(self) -> str:
        inputs = sum(len(one.inputs) for one in self.settings)
        return f"Reliability of “{self.bank}” on {inputs} prompts"

    def measured(self) -> Measure | None:
        """What is measured; None: the log-odds of each input's own answers. Raises InputError."""
        if self.answers is not None:
            if self.measure is not None:
                raise InputError("answers", "there is a measure, too", "Give one of the two")
            return Measure(answers=two_answers(self.answers, "|"))
        return None if self.measure is None else Measure.parse(self.measure)

    def check(self, bench: Bench) -> None:
        self._own(bench.banks.load(self.bank))

    def _own(self, bank: Bank) -> list[_Direction]:
        """The bank's vectors at their R. Raises InputError for what cannot be measured."""
        chosen = list(range(len(bank.vectors)) if self.vectors is None else dict.fromkeys(self.vectors))
        if self.radius == 0:
            raise InputError("R", "0 leaves every answer as it is", "Choose another R, or leave it out")
        if self.radius is not None and self.radius < 0:
            raise InputError("R", f"{self.radius:g} is negative", "Give a positive R: both signs are tried")
        own = variants(bank, chosen, None if self.radius is None else [self.radius])[1:]
        if not chosen:
            raise InputError("vectors", "none is chosen", "Choose at least one")
        if not LEAST_RANDOM <= self.random <= MOST_RANDOM:
            remedy = f"Choose {LEAST_RANDOM} to {MOST_RANDOM}; {RANDOM} usually works"
            raise InputError("random vectors", f"{self.random} cannot be used", remedy)
        check_range("max new tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        measure = self.measured()
        self._check_settings(measure)
        found = [_Direction(bank, one.vector, one.radius, False) for one in own if isinstance(one.vector, int)]
        if measure is not None and measure.is_of_texts:
            radii = {one.radius for one in found}
            check_size(self.settings, 1 + len(STEERED) * (len(found) + self.random * len(radii)))
        return found

    def _check_settings(self, measure: Measure | None) -> None:
        if not self.settings:
            raise InputError("prompts", "none are given", "Choose a contrast set, or give a file")
        if len(self.settings) > MOST_SETTINGS:
            problem = f"{len(self.settings) - 1} are too many"
            raise InputError("out of distribution", problem, f"Give at most {MOST_SETTINGS - 1}")
        names = [one.name for one in self.settings]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise InputError("out of distribution", f"“{repeated}” is there twice", "Leave one out, or rename its file")
        for at, one in enumerate(self.settings):
            field = "out of distribution" if at else "prompts"
            if len(one.inputs) < LEAST_INPUTS:
                problem = f"“{one.name}” has {len(one.inputs)}, too few for a share of inputs"
                raise InputError(field, problem, f"Give {LEAST_INPUTS} or more, better 40")
            if len(one.inputs) > MOST_PROMPTS:
                raise InputError(field, f"“{one.name}” has {len(one.inputs)}", f"Use at most {MOST_PROMPTS}")
            for number, line in enumerate(one.inputs, start=1):
                if measure is None and (line.first is None or line.second is None):
                    problem = f"prompt {number} of “{one.name}” has no answers “first” and “second”"
                    raise InputError(field, problem, "Add them, or give answers for all, as Yes|No, or a measure")
                if measure is None and line.first == line.second:
                    problem = f"prompt {number} of “{one.name}” has the answer {shown(line.first)} twice"
                    raise InputError(field, problem, "Give two different ones")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Reliability]:
        """Raises Stopped for a stop before the first vector was finished."""
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        directions = self._directions(bank)
        total = STEP * (1 + len(directions))
        yield ReliabilityProgress("reading the prompts", 0, total)
        measure = self.measured()
        work: Odds | Texts
        if measure is not None and measure.is_of_texts:
            work = Texts.prepared(bench, lm, self.settings, measure, self.max_new_tokens, stop)
        else:
            work = Odds.prepared(bench, lm, self.settings, measure)
        yield ReliabilityProgress("starting", 0, total, work.note)
        found = bench.reliabilities.find(self._key(lm, bank))
        known = {(one.vector, one.random, one.radius): one for one in found.tried} if found else {}
        tried = [one for one in map(known.get, map(_key_of, directions)) if one is not None]
        missing = [one for one in directions if _key_of(one) not in known]
        found = self._result(lm, bank, tried, len(directions)) if tried else None
        if found is not None and not missing:
            bench.reliabilities.keep(found)  # it is the latest again
        if missing:
            with suppress(Stopped):
                plain = yield from _within(work.measured(bank, 0, [0.0], stop), "without steering", 0, total, found)
                for number, one in enumerate(missing, start=1 + len(tried)):
                    stage = f"random vector {one.number}" if one.is_random else f"vector {one.number}"
                    radii = [multiple * one.radius for multiple in STEERED]
                    steered = work.measured(one.bank, one.number, radii, stop)
                    pair = yield from _within(steered, stage, STEP * number, total, found)
                    tried.append(self._steered(one, plain, pair))
                    found = self._result(lm, bank, tried, len(directions))
                    bench.reliabilities.keep(found)
                    yield ReliabilityProgress(stage, STEP * (1 + number), total, found=found)
                    if stop():
                        break
        if found is None:
            raise Stopped(NOTHING)
        return found

    def _directions(self, bank: Bank) -> list[_Direction]:
        """The bank's vectors and random ones in turn, so that a stop leaves some of each."""
        own = self._own(bank)
        control = random_bank(bank, self.random, self.seed)
        radii = dict.fromkeys(one.radius for one in own)
        others = [_Direction(control, number, radius, True) for number in range(self.random) for radius in radii]
        return [one for one in chain(*zip_longest(own, others)) if one is not None]

    def _key(self, lm: "LanguageModel", bank: Bank) -> str:
        return request_key(
            lm.weights_hash, _dtype(lm), bank.hash, self.radius, self._measure_text(), self.settings,
            self._chosen(bank), self.random, self.max_new_tokens, self.seed,
        )  # fmt: skip

    def _measure_text(self) -> str | None:
        measure = self.measured()
        return None if measure is None else str(measure)

    def _chosen(self, bank: Bank) -> tuple[int, ...]:
        return tuple(range(len(bank.vectors)) if self.vectors is None else dict.fromkeys(self.vectors))

    def _steered(self, one: _Direction, plain: Pair, pair: Pair) -> SteeredInputs:
        """The values at all multiples, those without steering among them."""
        return SteeredInputs(
            vector=None if one.is_random else one.number,
            random=one.number if one.is_random else None,
            radius=one.radius,
            propensities=self._by_setting(np.insert(pair[0], AT_ZERO, plain[0][:, 0], axis=1)),
            readable=None
            if pair[1] is None or plain[1] is None
            else self._by_setting(np.insert(pair[1], AT_ZERO, plain[1][:, 0], axis=1)),
        )

    def _by_setting(self, values: np.ndarray) -> Values:
        ends = np.cumsum([len(one.inputs) for one in self.settings])[:-1]
        return tuple(tuple(map(tuple, part.tolist())) for part in np.split(values, ends))

    def _result(self, lm: "LanguageModel", bank: Bank, tried: Sequence[SteeredInputs], wanted: int) -> Reliability:
        return Reliability(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=_dtype(lm),
            bank=bank.record.name,
            bank_hash=bank.hash,
            radius=self.radius,
            measure=self._measure_text(),
            multiples=MULTIPLES,
            settings=self.settings,
            vectors=self._chosen(bank),
            random=self.random,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            tried=tuple(tried),
            wanted=wanted,
            created=datetime.now(UTC),
        )

    def answer(self, result: Reliability, not_kept: str | None) -> Reliable:
        return reliable(result, not_kept)

    def lines(self, result: Reliability) -> list[str]:
        return lines_of(result)


def _key_of(one: _Direction) -> tuple[int | None, int | None, float]:
    return (None, one.number, one.radius) if one.is_random else (one.number, None, one.radius)


def _dtype(lm: "LanguageModel") -> str:
    return str(lm.dtype).removeprefix("torch.")


def _within(
    work: Generator[float, None, Pair], stage: str, before: int, total: int, found: Reliability | None
) -> Generator[Progress, None, Pair]:
    """The same work, with its progress among all."""
    try:
        while True:
            try:
                share = next(work)
            except StopIteration as end:
                return end.value
            yield ReliabilityProgress(stage, before + round(STEP * share), total, found=found)
    finally:
        work.close()
