"""Several annotators of the same vectors."""

from collections.abc import Sequence

from melbo_app.engine.stopping import never
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.annotators import check_annotator, known_as
from melbo_app.library.damage import Listed
from melbo_app.library.guidelines import GuidelinesVersion
from melbo_app.library.label import Label, LabelVersion, may_see
from melbo_app.studies.disagreements import Disagreement, disagreements
from melbo_app.studies.label_agreement import Agreement, LabelAgreement
from melbo_app.workbench.banks import Shelf


class Annotating(Shelf):
    """Several annotators of the same vectors: each has a label of their own and sees the others' after saving it."""

    def annotator_name(self, name: str) -> str:
        """A name as labels are saved under it: in the spelling that is known, if it is."""
        clean = check_annotator(name)
        return known_as(clean, self.bench.labels.annotators()) if clean else ""

    def own_label(self, bank: str, vector: int, annotator: str) -> Label:
        """What one annotator says of a vector, possibly nothing."""
        return self.bench.labels.own(bank, self._hash_of(bank, vector), vector, check_annotator(annotator))

    def settled_label(self, bank: str, vector: int) -> Label:
        """What was decided about a vector, possibly nothing."""
        return self.bench.labels.settled(bank, self._hash_of(bank, vector), vector)

    def given_labels(self, bank: str, vector: int, annotator: str, *, settling: bool = False) -> Listed[LabelVersion]:
        """Every annotator's label of a vector, the settled one first; empty until ``annotator`` and somebody else have
        saved one, unless ``annotator`` is about to decide between them (``settling``)."""
        given = self.bench.labels.said(self._hash_of(bank, vector), vector)
        return given if settling or may_see(given, annotator) else Listed([], given.damaged)

    def label_changes(self, bank: str, vector: int, annotator: str) -> Listed[LabelVersion]:
        """What ``annotator`` may see of the history of a vector's labels, newest first: all once they see all labels,
        else their own."""
        digest = self._hash_of(bank, vector)
        every = self.bench.labels.history(digest, vector)
        if may_see(self.bench.labels.said(digest, vector), annotator):
            return every
        return Listed([one for one in every if one.settled or one.annotator == annotator], every.damaged)

    def settle_label(
        self,
        bank: str,
        vector: int,
        *,
        name: str = "",
        tags: Sequence[str] = (),
        rating: int | None = None,
        note: str = "",
        annotator: str = "",
        author: str | None = None,
        seen: Label | None = None,
    ) -> Label:
        """Decide what a vector's label is from now on; an empty one makes it open again. Raises LabelChanged as
        ``save_label``, and InputError where nobody has labelled the vector."""
        digest = self._hash_of(bank, vector)
        if not self.bench.labels.said(digest, vector):
            raise InputError("label", f"nobody has labelled vector {vector}", "Label it first")
        return self.bench.labels.save(
            bank, digest, vector, name=name, tags=tags, rating=rating, note=note, settled=True, seen=seen,
            annotator=check_annotator(annotator), author=self._account if author is None else author,
        )  # fmt: skip

    def disagreements(self, bank: str) -> list[Disagreement]:
        """The vectors of a bank about which annotators disagree and nobody has decided, the widest apart first."""
        return disagreements(self.bench.labels.said(self.bank(bank).hash))

    def label_agreement(self, bank: str) -> Agreement:
        """How far the annotators of a bank agree."""
        return result_of(LabelAgreement(bank=bank).run(self.bench, never))

    def labellers(self, bank: str) -> dict[str, int]:
        """How many vectors of a bank each annotator has labelled, by name; "": without a name."""
        counts: dict[str, int] = {}
        for one in self.bench.labels.said(self.bank(bank).hash):
            if not one.settled:
                counts[one.annotator] = counts.get(one.annotator, 0) + 1
        return counts

    def guidelines(self) -> GuidelinesVersion:
        """The guidelines for annotators, possibly empty."""
        return self.bench.guidelines.newest()

    def guidelines_history(self) -> Listed[GuidelinesVersion]:
        """Every version of the guidelines, newest first."""
        return self.bench.guidelines.versions()

    def save_guidelines(self, text: str, annotator: str, seen: int) -> GuidelinesVersion:
        """Save the guidelines, in Markdown, over the version with the number ``seen``."""
        return self.bench.guidelines.save(text, check_annotator(annotator), seen)
