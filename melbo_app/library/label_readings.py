"""Readings of labels: how well a person, given a label, told a vector's texts from those of random vectors."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from melbo_app.library.facts import Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.said_files import SaidFiles, SaidOfBank
from melbo_app.library.tested_label import TestedLabel, in_figures

MEANING = (
    "People’s AUROC, with its 95 % interval: how well somebody, given the label, told unseen texts of the vector from "
    "texts of random vectors."
)
FACTS = ("auroc", "low", "high", "unseen")


class ReadText(Frozen):
    """A text that a person read without knowing whether it was ``steered`` by the vector or by a random one, and how
    well the label ``fits`` it: 1 not at all, 5 well."""

    text: Text
    steered: bool
    fits: Annotated[int, Field(ge=1, le=5)]


class LabelReading(TestedLabel):
    """What ``who`` said about these texts, given the label."""

    who: Word
    texts: tuple[ReadText, ...]

    @property
    def identity(self) -> tuple[int, str, str, int]:
        """The vector, its label, who read, and the texts."""
        return self.vector, self.name, self.who, self.first_seed

    @property
    def unseen(self) -> int:
        """Texts of each kind."""
        return len(self.texts) // 2


def newest(every: Iterable[LabelReading], vector: int, name: str) -> list[LabelReading]:
    """The newest reading by each person of a vector's label with this name."""
    return list({one.who: one for one in every if (one.vector, one.name) == (vector, name)}.values())


def facts(read: Iterable[LabelReading], *, named: bool = False) -> list[dict[str, Any]]:
    """What readings found, without the texts; ``named``: with who read."""
    keys = ("who", *FACTS) if named else FACTS
    return [{key: getattr(one, key) for key in keys} for one in read]


def in_words(found: Iterable[Mapping[str, Any]]) -> str:
    """Such facts as a text."""
    said = ((one, in_figures(one["auroc"], one["low"], one["high"])) for one in found)
    return "; ".join(f"{one['who'] or 'somebody'} {figures}" if "who" in one else figures for one, figures in said)


class LabelReadings(SaidOfBank):
    """All readings of the labels of one bank."""

    what: ClassVar[str] = "label readings"
    said: tuple[LabelReading, ...] = ()


class LabelReadingFiles(SaidFiles[LabelReadings]):
    """The readings on disk."""

    kind, noun = LabelReadings, "list of readings"

    def of_bank(self, bank_hash: str) -> tuple[LabelReading, ...]:
        """The readings of a bank's labels, the oldest first."""
        return self._said(bank_hash)
