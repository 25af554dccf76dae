"""A label's trial by a person: texts of its vector and of random ones, mixed, on which they say how well it fits."""

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field

from melbo_app.analysis.auroc import auroc, interval
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.label_readings import LabelReading, ReadText
from melbo_app.library.suggested_labels import SuggestedLabel
from melbo_app.studies.completing import variants
from melbo_app.studies.sampled_texts import TEMPERATURE, TOKENS, UNSEEN, WRITTEN_FROM, sampled

FITS = range(1, 6)


@dataclass(frozen=True)
class Trial:
    """The texts of a trial in the order in which they are read, each with whether it was ``steered``."""

    bank: str
    bank_hash: str
    vector: int
    name: str
    who: str
    texts: tuple[tuple[str, bool], ...]
    radius: float
    prompt: PromptRecord
    first_seed: int

    def read(self, fits: Sequence[int]) -> LabelReading:
        """The result, from how well the label fits each text. Raises InputError unless each has one of ``FITS``."""
        if len(fits) != len(self.texts) or any(type(one) is not int or one not in FITS for one in fits):
            raise InputError("answers", "they are not one for each text", "Begin the test again")
        said = list(zip(self.texts, fits, strict=True))
        ours, others = ([fit for (_, steered), fit in said if steered is wanted] for wanted in (True, False))
        area = auroc(ours, others)
        low, high = interval(area, len(ours), len(others))
        return LabelReading(
            vector=self.vector, name=self.name, who=self.who, auroc=area, low=low, high=high, radius=self.radius,
            texts=tuple(ReadText(text=text, steered=steered, fits=fit) for (text, steered), fit in said),
            prompt=self.prompt, temperature=TEMPERATURE, max_new_tokens=TOKENS, first_seed=self.first_seed,
            created=datetime.now(UTC),
        )  # fmt: skip


class LabelTrial(Study[Trial]):
    """Sample texts of a vector and of random vectors of its R, for a person who tests a label.

    They are those on which a suggestion was tested; a person who tests the same vector again gets new ones.
    """

    kind: ClassVar[str] = "label-trial"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    bank: str = Field(description="name of the bank")
    vector: int = Field(description="number of the vector")
    name: str = Field(description="the label to test")
    who: str = Field(description="who will read")

    def check(self, bench: Bench) -> None:
        bank = bench.banks.load(self.bank)
        variants(bank, [self.vector], None)
        if not self.name.strip():
            raise InputError("label", f"vector {self.vector} has none", "Save one, or let a model suggest one")
        if not self.who.strip():
            raise InputError("your name", "it is empty", "Write a name, so that the result says who read")
        if self._suggestion(bench, bank) is None and not bank.record.prompts:
            raise InputError("prompt", f"the bank “{self.bank}” has none of its own", "Test vectors of another bank")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Trial]:
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        like = self._suggestion(bench, bank)
        prompt = (like.prompt if like else bank.record.prompts[0]).asked
        unseen = like.unseen if like else UNSEEN
        first = self._first_seed(bench, bank, like)
        work = sampled(bench, bank, prompt, [self.vector], range(first, first + unseen), stop)
        drawn = yield from part_of(Progress("writing the texts", 0, 100), work, 100)
        texts = [(one.vectors[self.vector].text, True) for one in drawn]
        texts += [(one.random[self.vector].text, False) for one in drawn]
        random.Random(f"{bank.hash} {self.vector} {self.who} {first}").shuffle(texts)
        of = drawn[0].vectors[self.vector]
        return Trial(
            self.bank, bank.hash, self.vector, self.name, self.who, tuple(texts), of.radius, of.prompt, first
        )  # fmt: skip

    def _suggestion(self, bench: Bench, bank: Bank) -> SuggestedLabel | None:
        """The suggestion that is tested; None for a label that a person wrote."""
        found = bench.suggested_labels.of_bank(bank.hash).get(self.vector)
        return found if found is not None and found.name == self.name else None

    def _first_seed(self, bench: Bench, bank: Bank, like: SuggestedLabel | None) -> int:
        """That of the model's own test, or after all that this person has read of the vector."""
        begin = (like.first_seed if like else 0) + WRITTEN_FROM
        said = bench.label_readings.of_bank(bank.hash)
        mine = [one for one in said if one.vector == self.vector and one.who == self.who]
        return max([begin, *(one.first_seed + one.unseen for one in mine)])
