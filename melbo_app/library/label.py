"""A label: what somebody says about a vector."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from melbo_app.errors import InputError
from melbo_app.library.facts import Digest, Index, Moment, Name, Text
from melbo_app.library.frozen import Frozen

Said = tuple[str, tuple[str, ...], int | None, str]
EMPTY: Said = ("", (), None, "")


class Label(Frozen):
    """The label of the vector ``vector`` of the bank with the hash ``bank_hash``; ``updated`` is None for no label."""

    bank: Name
    bank_hash: Digest
    vector: Index
    name: Text = ""
    tags: tuple[Text, ...] = ()
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    note: Text = ""
    updated: Moment | None = None


class LabelVersion(Label):
    """A label as ``author``, an account (empty: unknown), once saved it for ``annotator``, a person's own name (empty:
    nobody gave one). ``settled``: they decided between several annotators. An empty label records its removal."""

    updated: Moment
    author: Text = ""
    annotator: Text = ""
    settled: bool = False

    @property
    def whose(self) -> tuple[str, int, str, bool]:
        """The label of which this is a version: of a vector, an annotator's own or the settled one."""
        return self.bank_hash, self.vector, "" if self.settled else self.annotator, self.settled


class LabelChanged(InputError):
    """A label was not saved because ``stored`` took the place of the one that its writer had seen."""

    def __init__(self, stored: LabelVersion) -> None:
        self.stored = stored
        now = f"it says “{stored.name}” now" if any(said(stored)) else "it has been removed"
        super().__init__("label", f"it was changed meanwhile: {now}", "Look at both, then keep one")


def said(label: Label) -> Said:
    """What a label says, without whose it is."""
    return label.name, label.tags, label.rating, label.note


def may_see(given: Iterable[LabelVersion], annotator: str) -> bool:
    """Whether an annotator may see what all say of one vector: they and somebody else have labelled it, or it is
    settled."""
    people = {None if one.settled else one.annotator for one in given}
    return None in people or (annotator in people and len(people) > 1)
