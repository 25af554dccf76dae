"""The propensity of inputs under steering: log-odds of two answers, or whether a written text has a measure."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.contrast_sets import Setting
from melbo_app.limits import check_texts
from melbo_app.sizes import size_text
from melbo_app.studies.completing import Variant, complete
from melbo_app.studies.measure import Measure
from melbo_app.studies.memory_note import memory_note
from melbo_app.studies.steer import Steer

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.answer_odds import Question
    from melbo_app.engine.model import LanguageModel

TOKENS_AT_ONCE, TEXTS_AT_ONCE = 512, 64
"""In one forward pass on a CPU, so that others need not wait long; texts that are completed together."""
Pair = tuple[np.ndarray, np.ndarray | None]
"""Propensities, and readable or not: each [inputs of all settings, multiples]."""


@dataclass(frozen=True)
class Odds:
    """Log-odds of two answers. ``questions`` are those of all settings, one after the other."""

    lm: "LanguageModel"
    bench: Bench
    questions: "tuple[Question, ...]"
    rows: int
    """Most in one pass."""
    note: str

    @classmethod
    def prepared(
        cls, bench: Bench, lm: "LanguageModel", settings: Sequence[Setting], measure: Measure | None
    ) -> "Odds":
        """Reads the inputs. Raises InputError for answers or prompts that cannot be used, or too little memory."""
        from melbo_app.engine.answer_odds import question
        from melbo_app.engine.lessons import AT_ONCE
        from melbo_app.engine.memory import budget, bytes_per_row

        asked = []
        for setting in settings:
            for number, one in enumerate(setting.inputs, start=1):
                first, second = measure.answers if measure and measure.answers else (one.first, one.second)
                assert first is not None and second is not None, "the study checks it"
                try:
                    asked.append(question(lm, one.prompt.asked, first, second))
                except InputError as error:
                    where = f"prompt {number} of “{setting.name}”: {error.problem}"
                    raise InputError(error.field, where, error.remedy) from error
        longest = max(len(one.prompt) + max(len(one.first), len(one.second)) for one in asked)
        each, have = bytes_per_row(lm, longest), budget(lm, bench.model.memory_gb)
        if each > have:
            problem = f"one prompt of {longest} tokens needs {size_text(each)}, and only {size_text(have)} may be used"
            raise InputError("memory", problem, "Write shorter prompts")
        rows = min(AT_ONCE, have // each)
        if lm.device.type == "cpu":
            rows = min(rows, max(1, TOKENS_AT_ONCE // longest))
        note = f"Needs up to {size_text(rows * each)} besides the model; {size_text(have)} may be used."
        return cls(lm, bench, tuple(asked), rows, note)

    def measured(self, bank: Bank, vector: int, radii: Sequence[float], stop: Stop) -> Generator[float, None, Pair]:
        """The propensities at each of ``radii``; yields the share that is done. Raises Stopped."""
        from melbo_app.engine.answer_odds import measured_odds

        row = bank.vectors[vector]
        unit = (row / np.linalg.norm(row)).astype(np.float32)
        found = np.empty((len(self.questions), len(radii)))
        order = sorted(range(len(self.questions)), key=lambda at: len(self.questions[at].prompt))
        cells = [(at, place) for at in order for place in range(len(radii))]
        if any(len(one) > 1 for question in self.questions for one in (question.first, question.second)):
            size = max(1, self.rows // 2)  # two rows a question
        else:
            size = self.rows
        for start in range(0, len(cells), size):
            part = cells[start : start + size]
            thetas = np.stack([unit * radii[place] for _, place in part])
            steered = (bank.record.source, thetas) if any(radii) else None
            with self.bench.compute.hold():
                odds = measured_odds(self.lm, [self.questions[at] for at, _ in part], steered, stop)
            for (at, place), value in zip(part, odds, strict=True):
                found[at, place] = value
            yield (start + len(part)) / len(cells)
            raise_if(stop)
        return found, None


@dataclass(frozen=True)
class Texts:
    """Whether written texts have a measure. Texts are stored, and looked up when asked for again."""

    lm: "LanguageModel"
    bench: Bench
    settings: tuple[Setting, ...]
    measure: Measure
    decoding: Decoding
    note: str
    plain: dict[str, Completion]
    """The unsteered texts, once they are written."""

    @classmethod
    def prepared(
        cls, bench: Bench, lm: "LanguageModel", settings: Sequence[Setting], measure: Measure, tokens: int, stop: Stop
    ) -> "Texts":
        """Raises InputError for prompts that cannot be used, or too little memory."""
        decoding = Decoding(tokens)
        asked = [one.prompt.asked for setting in settings for one in setting.inputs]
        note = memory_note(lm, asked, TEXTS_AT_ONCE, decoding, bench.batching.memory_gb, stop)
        return cls(lm, bench, tuple(settings), measure, decoding, note, {})

    def measured(self, bank: Bank, vector: int, radii: Sequence[float], stop: Stop) -> Generator[float, None, Pair]:
        """Whether the text at each of ``radii`` has the measure; yields the share that is done. Raises Stopped."""
        asked = [one.prompt.asked for setting in self.settings for one in setting.inputs]
        rows = [Variant(vector, radius) if radius else Variant(None, 0.0) for radius in radii]
        size = max(1, TEXTS_AT_ONCE // len(rows))
        shown, readable = np.empty((len(asked), len(rows))), np.empty((len(asked), len(rows)))
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            # the unsteered texts too, as steered ones are scored beside them; they are looked up
            every = [*dict.fromkeys([Variant(None, 0.0), *rows])]
            work = complete(
                self.lm, bank, part, every, self.decoding,
                lambda draft: self.plain.get(draft.digest) or self.bench.completions.find(draft),
                self.bench.batching, stop,
            )  # fmt: skip
            while True:
                try:
                    now = next(work)
                except StopIteration as end:
                    texts, whole = end.value
                    break
                yield (start + len(part) * now.done / max(1, now.total)) / len(asked)
            if not whole or any(one.scores is None for one in texts):
                raise Stopped
            if any(radii):
                self._keep(bank, texts)
            self.plain.update((one.digest, one) for one in texts if one.vector is None)
            found = {(one.prompt_index, one.radius if one.vector is not None else 0.0): one for one in texts}
            for at, prompt in enumerate(part):
                for place, row in enumerate(rows):
                    one, plain = found[at, row.radius], found[at, 0.0]
                    has = self.measure.shows(one.text, prompt.user, plain.text, prompt.system)
                    shown[start + at, place] = has
                    readable[start + at, place] = one.scores is not None and one.scores.verdict == "readable"
            yield (start + len(part)) / len(asked)
        return shown, readable

    def _keep(self, bank: Bank, texts: Sequence[Completion]) -> None:
        prompts = tuple(one.prompt.asked for one in texts if one.vector is None)
        steering = Steer(bank=bank.record.name, prompts=prompts, decoding=self.decoding)
        steering.keep(self.bench, texts, "part", bank, finished=True)


def check_size(settings: Sequence[Setting], variants: int) -> None:
    """Raises InputError for too many texts."""
    check_texts(sum(len(one.inputs) for one in settings), variants)
