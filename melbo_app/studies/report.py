"""A report: everything about one bank's texts, for one HTML page that needs no network."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.label import Label
from melbo_app.library.label_readings import LabelReading, newest
from melbo_app.limits import MOST_MAPPED
from melbo_app.studies.map import Map, draw
from melbo_app.studies.similarity import Compare, Similarity

PARTS = 3


@dataclass(frozen=True)
class Report:
    """What a report shows. ``left_out`` says what is missing from it, and why."""

    comparison: Comparison
    texts: list[Completion]
    """Of the comparison, and those that differ from them in R alone."""
    bank: Bank | None
    labels: dict[int, Label] = field(default_factory=dict)
    readings: dict[int, list[LabelReading]] = field(default_factory=dict)
    """Of the labels, the newest of each person."""
    map: Map | None = None
    similarity: Similarity | None = None
    left_out: list[str] = field(default_factory=list)


class MakeReport(Study[Report]):
    """Gather the texts of a comparison at every stored R, with labels, a map and the similarity of the vectors."""

    kind: ClassVar[str] = "report"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    bank: str | None = Field(None, description="the bank whose newest comparison is reported")
    comparison: int | None = Field(None, description="the number of a comparison, instead of a bank")
    only_texts: bool = Field(False, description="no map and no similarities, which take a model")

    def check(self, bench: Bench) -> None:
        if (self.bank is None) == (self.comparison is None):
            raise InputError("report", "it needs a bank or a comparison", "Name one of the two")
        self._comparison(bench)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Report]:
        self.check(bench)
        yield Progress("gathering the texts", 0, PARTS)
        comparison = self._comparison(bench)
        texts = [*comparison.completions, *bench.completions.at_other_radii(comparison.completions)]
        left_out: list[str] = []
        bank = _bank(bench, texts, left_out)
        labels: dict[int, Label] = {}
        read: dict[int, list[LabelReading]] = {}
        if bank is not None:
            labels, every = bench.labels.of_bank(bank.hash), bench.label_readings.of_bank(bank.hash)
            read = {at: newest(every, at, label.name) for at, label in labels.items()}
        if self.only_texts:
            return Report(comparison, texts, bank, labels, read, left_out=left_out)
        yield Progress("laying the texts out", 1, PARTS)
        placed = _placed(bench, comparison, texts, left_out, stop)
        if stop():
            raise Stopped
        yield Progress("comparing the vectors", 2, PARTS)
        prompts = [one.prompt.asked for one in comparison.completions if one.vector is None]
        similar = None if bank is None else _similar(bench, bank, prompts, left_out, stop)
        return Report(comparison, texts, bank, labels, read, placed, similar, left_out)

    def _comparison(self, bench: Bench) -> Comparison:
        if self.comparison is not None:
            return bench.completions.comparison(self.comparison)
        bank = bench.banks.load(self.bank or "")
        newest = bench.completions.newest_comparison(bank.hash)
        if newest is None:
            raise InputError("bank", f"no texts of “{self.bank}” are stored", "Steer with it first")
        return newest


def _bank(bench: Bench, texts: Sequence[Completion], left_out: list[str]) -> Bank | None:
    """The bank on the shelf that made the texts; of several with these vectors, the one that was used."""
    one = next((one for one in texts if isinstance(one.vector, int)), None)
    names = [line.name for line in bench.banks.list() if one and one.bank_hash and line.hash == one.bank_hash]
    if one is not None and names:
        return bench.banks.load(one.bank if one.bank in names else names[0])
    if one is not None:
        left_out.append("The vectors are in no bank on the shelf: their labels and similarities are missing.")
    return None


def _placed(
    bench: Bench, comparison: Comparison, texts: Sequence[Completion], left_out: list[str], stop: Stop
) -> Map | None:
    if len(texts) > MOST_MAPPED:
        left_out.append(f"There is no map: it could hold {MOST_MAPPED:,} texts, and these are {len(texts):,}.")
        return None
    try:
        return result_of(draw(bench, comparison.model_copy(update={"completions": tuple(texts)}), stop))
    except MelboError as error:  # the embedder's weights are missing
        left_out.append(f"There is no map: {error}")
        return None


def _similar(bench: Bench, bank: Bank, prompts: Sequence[Prompt], left_out: list[str], stop: Stop) -> Similarity | None:
    """The similarities, which need the bank's model."""
    with suppress(Stopped):
        try:
            return result_of(Compare(bank=bank.record.name, prompts=tuple(prompts) or None).run(bench, stop))
        except MelboError as error:
            left_out.append(f"The similarities are missing: {error}")
    return None
