"""Names that people gave to vectors with similar texts, as suggestions for one more."""

from itertools import groupby
from typing import NamedTuple

from melbo_app.errors import MelboError
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.label import Label

MOST_LABELS = 1_000
"""Labels that are compared, the newest."""
NEAREST, LEAST = 5, 0.5
"""The most names, and the cosine from which texts count as similar."""


class SimilarLabel(NamedTuple):
    """A label, and the cosine between a text of its vector and a text of the vector that is asked about."""

    label: Label
    cosine: float


def similar_labels(bench: Bench, bank: Bank, vector: int, seen_by: str | None = None) -> list[SimilarLabel]:
    """Up to ``NEAREST`` labels of other vectors whose texts are most similar in meaning (cosine of their embeddings),
    each name once. Empty without a text of the vector, or without the embedder's weights."""
    own = bench.evidences.nearest(bank.hash, {vector: bank.norms[vector]}, bank.record.prompts).get(vector)
    if own is None:
        return []
    known = _labelled(bench, bank, vector, seen_by)
    try:
        rows = bench.embed([own.text, *(text.text for _, text in known)])
    except MelboError:
        return []
    found: dict[str, SimilarLabel] = {}
    for (label, _), cosine in sorted(zip(known, (rows[1:] @ rows[0]).tolist(), strict=True), key=lambda one: -one[1]):
        if cosine >= LEAST:
            found.setdefault(label.name.casefold(), SimilarLabel(label, cosine))
    return [*found.values()][:NEAREST]


def _labelled(bench: Bench, bank: Bank, vector: int, seen_by: str | None) -> list[tuple[Label, Completion]]:
    """The newest labels with a name, each with the newest text of its vector, without the vector itself."""
    newest = bench.labels.newest(MOST_LABELS, seen_by)
    labels = [one for one in newest if (one.bank_hash, one.vector) != (bank.hash, vector)]
    found = []
    for digest, some in groupby(sorted(labels, key=lambda one: one.bank_hash), lambda one: one.bank_hash):
        mine = {one.vector: one for one in some}
        texts = bench.evidences.nearest(digest, dict.fromkeys(mine), [])
        found += [(mine[one], text) for one, text in texts.items()]
    return found
