"""Labels of other libraries, and labels that were lost, put into a library."""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from melbo_app.library.annotators import check_annotator
from melbo_app.library.label import LabelVersion, said
from melbo_app.library.label_words import check_vector, clean_words
from melbo_app.library.labels import remember, replace, versions_of


def merge_labels(session: Session, versions: Sequence[LabelVersion]) -> tuple[int, list[tuple[str, int]]]:
    """Merge the labels of another library; returns the number of new versions, and the vectors (bank, number) that the
    two libraries label differently for the same annotator.

    Of each annotator the label saved last counts, but a label wins over a removal; the other one stays in the history.
    Raises InputError for an invalid label.
    """
    added, differing = 0, []
    for whose, brought in _apart(map(clean, versions)).items():
        own = [one for one in versions_of(session, *whose[:2]) if one.whose == whose]
        known = {(said(one), one.updated) for one in own}
        new = [one for one in brought if (said(one), one.updated) not in known]
        if not new:
            continue
        ends = [own[-1], brought[-1]] if own else [brought[-1]]
        best = max(ends, key=lambda one: (any(said(one)), one.updated))
        if all(any(said(one)) for one in ends) and len({said(one) for one in ends}) == 2:
            differing.append((best.bank, best.vector))
        if best is not new[-1]:  # the newest version must be the label
            new.append(best)
        for one in new:
            remember(session, one)
        replace(session, best)
        added += len([one for one in new if (said(one), one.updated) not in known])
    return added, [*dict.fromkeys(differing)]


def replay(session: Session, versions: Sequence[LabelVersion]) -> int:
    """Add again, in order, the ``versions`` that this library has lost; returns their number."""
    added = 0
    for version in map(clean, versions):
        own = [one for one in versions_of(session, version.bank_hash, version.vector) if one.whose == version.whose]
        if (said(version), version.updated) in {(said(one), one.updated) for one in own}:
            continue
        remember(session, version)
        replace(session, version)
        added += 1
    return added


def clean(version: LabelVersion) -> LabelVersion:
    """``version`` as it would be saved. Raises InputError for what is too long, too many or out of range."""
    check_vector(version.vector)
    words = clean_words(version.name, version.tags, version.rating, version.note, version.author)
    return version.model_copy(update=words | {"annotator": check_annotator(version.annotator)})


def _apart(versions: Iterable[LabelVersion]) -> dict[tuple[str, int, str, bool], list[LabelVersion]]:
    groups: dict[tuple[str, int, str, bool], list[LabelVersion]] = {}
    for version in versions:
        groups.setdefault(version.whose, []).append(version)
    return groups
