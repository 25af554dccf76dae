"""Labels, and the library as a whole."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from melbo_app.errors import InputError, MelboError
from melbo_app.library.annotators import check_annotator
from melbo_app.library.bank import Bank
from melbo_app.library.bundle import Bundled, Merged, merge_bundle, write_bundle
from melbo_app.library.catalogue import Rebuilt
from melbo_app.library.completion import Completion
from melbo_app.library.damage import Listed
from melbo_app.library.label import Label, LabelVersion
from melbo_app.library.label_file import Grounds, write_labels
from melbo_app.library.label_import import LabelsImported, LabelsWanted, import_labels
from melbo_app.library.label_lines import read_lines
from melbo_app.library.label_readings import LabelReading, newest
from melbo_app.library.preferences import Against, Choice
from melbo_app.library.pruning import Pruned, prune
from melbo_app.library.search import Found, search
from melbo_app.library.suggested_labels import SuggestedLabel
from melbo_app.limits import LARGEST, MOST_NAME, check_range, check_text
from melbo_app.studies import blind
from melbo_app.studies.blind import Pair, Standing
from melbo_app.studies.label_trial import LabelTrial, Trial
from melbo_app.studies.labelling_order import LabellingOrder, labelling_order
from melbo_app.studies.similar_labels import SimilarLabel, similar_labels
from melbo_app.workbench.annotating import Annotating


class Library(Annotating):
    """Labels, and the library as a whole."""

    @property
    def kept_in(self) -> str:
        """Where the library is, as a sentence; it shows whether a command uses another folder than the server."""
        cache, place = self.settings.cache_dir, self.bench.database.place
        if self.bench.database.path is not None and self.bench.database.path.parent == cache:
            return f"Banks, labels and models are kept in “{cache}”."
        return f"Banks and models are kept in “{cache}”, labels and texts in “{place}”."

    def label(self, bank: str, vector: int, *, seen_by: str | None = None) -> Label:
        """The label of one vector, possibly empty; with ``seen_by`` the one that this annotator may see."""
        return self.bench.labels.get(bank, self._hash_of(bank, vector), vector, seen_by)

    def bank_labels(self, bank: str, *, seen_by: str | None = None) -> dict[int, Label]:
        """The labels of a bank's vectors, by vector; with ``seen_by`` those that this annotator may see."""
        return self.bench.labels.of_bank(self.bank(bank).hash, seen_by)

    def save_label(
        self,
        bank: str,
        vector: int,
        *,
        name: str = "",
        tags: Sequence[str] = (),
        rating: int | None = None,
        note: str = "",
        author: str | None = None,
        annotator: str = "",
        seen: Label | None = None,
    ) -> Label:
        """Label a vector, as an ``annotator`` who gave a name or without one. ``author`` defaults to the account that
        runs the program. Raises LabelChanged if the stored label of this annotator is no longer the one that its writer
        has ``seen``."""
        return self.bench.labels.save(
            bank, self._hash_of(bank, vector), vector, name=name, tags=tags, rating=rating, note=note, seen=seen,
            annotator=check_annotator(annotator), author=self._account if author is None else author,
        )  # fmt: skip

    def label_history(self, bank: str, vector: int) -> Listed[LabelVersion]:
        """Every version of a vector's label, newest first."""
        return self.bench.labels.history(self._hash_of(bank, vector), vector)

    def labels(
        self,
        text: str = "",
        *,
        bank: str | None = None,
        tag: str | None = None,
        rating: int | None = None,
        limit: int | None = None,
        seen_by: str | None = None,
    ) -> Listed[Label]:
        """The labels that contain ``text``, of this bank, with this tag and at least this rating; by default all. With
        ``seen_by`` only those that this annotator may see."""
        check_text("text", text, MOST_NAME)
        check_text("tag", tag or "", MOST_NAME)
        digest = None if bank is None else self.bank(bank).hash
        return self.bench.labels.search(text, bank_hash=digest, tag=tag, rating=rating, limit=limit, seen_by=seen_by)

    def tags(self) -> list[str]:
        """The tags in use, in alphabetical order; at most a thousand."""
        return self.bench.labels.tags()

    def export_labels(
        self, out: Path, *, overwrite: bool = False, each: bool = False, shown: Callable[[str], str] = str
    ) -> Path:
        """Write all labels, each with its vector's R, model, text and readings, to a ``.csv`` or ``.jsonl`` file: of
        each vector the one that counts, or those of ``each`` annotator and the settled one. ``shown`` changes the names
        of models."""
        labels: list[Label] = [*(self.bench.labels.said() if each else self.bench.labels.search())]
        banks = {line.hash: line.name for line in self.bench.banks.list()}
        grounds: dict[tuple[str, int], Grounds] = {}
        for digest, some in groupby(sorted(labels, key=_bank_hash), _bank_hash):
            vectors = sorted({label.vector for label in some})
            grounds |= self._grounds(banks.get(digest), digest, vectors, shown)
        return write_labels(out, labels, grounds, overwrite=overwrite, each=each)

    def import_labels(
        self,
        bank: str,
        path: Path,
        *,
        annotator: str = "",
        each: bool = False,
        replace: bool = False,
        partly: bool = False,
    ) -> LabelsImported:
        """Take over a bank's labels from a file that ``export_labels`` wrote, all or none.

        They are those of ``annotator``, or with ``each`` of every annotator whom the file names. A newer label here is
        kept, and refuses the file, unless it may ``replace`` it. With ``partly``, lines that cannot be taken are left
        out. Raises LabelsRefused with a sentence for each such line, InputError and StorageError.
        """
        held, who = self.bench.banks.load(bank), check_annotator(annotator)
        self._check_reading(path)
        how = LabelsWanted(
            path.name, bank, held.hash, len(held.vectors), who, each, replace, partly, author=self._account
        )  # fmt: skip
        return import_labels(self.bench.database, read_lines(path), how)

    def _grounds(
        self, name: str | None, digest: str, vectors: Sequence[int], shown: Callable[[str], str]
    ) -> dict[tuple[str, int], Grounds]:
        """What the labels of one bank are about; where it is gone, as far as its texts say."""
        try:
            bank = self.bench.banks.load(name) if name else None
        except MelboError:  # its file is damaged
            bank = None
        norms = dict(enumerate(bank.norms)) if bank is not None else {}
        prompts = bank.record.prompts if bank is not None else []
        texts = self.bench.evidences.nearest(digest, {one: norms.get(one) for one in vectors}, prompts)
        read = self.bench.label_readings.of_bank(digest)
        return {
            (digest, one): Grounds(norms.get(one), _model(bank, texts.get(one), shown), texts.get(one), read)
            for one in vectors
        }

    def labelling_order(self, bank: str, how: LabellingOrder) -> list[int]:
        """The vectors of a bank in the order in which to label them."""
        return labelling_order(self.bench, self.bench.banks.load(bank), how)

    def similar_labels(self, bank: str, vector: int, *, seen_by: str | None = None) -> list[SimilarLabel]:
        """Labels of other vectors that say something similar; with ``seen_by`` of those that this annotator may see."""
        self._hash_of(bank, vector)
        return similar_labels(self.bench, self.bench.banks.load(bank), vector, seen_by)

    def suggested_labels(self, bank: str) -> dict[int, SuggestedLabel]:
        """The last suggested label of each vector that has one, also of those that do not hold."""
        return self.bench.suggested_labels.of_bank(self.bank(bank).hash)

    def label_readings(self, bank: str) -> tuple[LabelReading, ...]:
        """How well people told texts apart by the labels of a bank, the oldest first."""
        return self.bench.label_readings.of_bank(self.bank(bank).hash)

    def readings_of(self, labels: Sequence[Label]) -> list[list[LabelReading]]:
        """What people found who tested these labels: of each label, the newest reading of each person."""
        every = {digest: self.bench.label_readings.of_bank(digest) for digest in {one.bank_hash for one in labels}}
        return [newest(every[one.bank_hash], one.vector, one.name) for one in labels]

    def label_trial(self, bank: str, vector: int, name: str, who: str = "") -> LabelTrial:
        """The study that prepares a label's trial by ``who`` ("": this account)."""
        return LabelTrial(bank=bank, vector=vector, name=name, who=check_annotator(who) or self._account)

    def keep_reading(self, trial: Trial, fits: Sequence[int]) -> LabelReading:
        """Keep what the reader of a trial said about its texts. Raises InputError if a text has no answer, or another
        bank took the place of the one that was read."""
        held, reading = self.bench.banks.load(trial.bank), trial.read(fits)
        if held.hash != trial.bank_hash:
            raise InputError("bank", f"another one has replaced “{trial.bank}”", "Begin the test again")
        self.bench.label_readings.add(held.record.model_hash, held.hash, reading)
        return reading

    def next_pair(self, bank: str, against: Against, who: str | None = None) -> tuple[Pair | None, int, int]:
        """The next two texts for a blind comparison by ``who`` (None: this account), how many this person has compared,
        and how many there are."""
        held = self.bench.banks.load(bank)
        name = self._account if not who else check_annotator(who)
        every = blind.pairs(self.bench, held, against, name)
        waiting = blind.left(self.bench, held, every, name)
        return next(iter(waiting), None), len(every) - len(waiting), len(every)

    def prefer(self, bank: str, pair: Pair, choice: Choice, who: str | None = None) -> None:
        """Keep what ``who`` (None: this account) prefers."""
        blind.prefer(
            self.bench, self.bench.banks.load(bank), pair, choice, check_annotator(who) if who else self._account
        )

    def standings(self, bank: str, against: Against) -> list[Standing]:
        """How often people preferred each vector's texts."""
        return blind.standings(self.bench.preferences.of_bank(self.bench.banks.load(bank).hash), against)

    def search(self, text: str, limit: int = 20, *, seen_by: str | None = None) -> Found:
        """Banks, labels and completions that contain ``text``, at most ``limit`` of each; with ``seen_by`` the labels
        that this annotator may see."""
        if not text.strip():
            raise InputError("text", "it is empty", "Write what to search for")
        check_text("text", text, MOST_NAME)
        return search(
            text.strip(), self.bench.banks, self.bench.catalogue, self.bench.labels, self.bench.completions, limit,
            seen_by,
        )  # fmt: skip

    def rebuild_library(self) -> Rebuilt:
        """Rebuild the database's catalogue from the banks' files."""
        return self.bench.catalogue.rebuild(self.bench.banks.files())

    def prune_library(self, limit: int, *, dry_run: bool = False) -> Pruned:
        """Remove what can be made again until the cache takes at most ``limit`` bytes."""
        check_range("limit", limit, 0, LARGEST)
        return prune(self.settings.cache_dir, self.bench.database, limit, self.settings.model, dry_run=dry_run)

    def export_bundle(self, out: Path, banks: Sequence[str] | None = None, *, overwrite: bool = False) -> Bundled:
        """Write banks (None: all) with their labels, completions, maps, preferences, readings of labels and
        conversations to a ``.zip`` file."""
        here = self.bench
        return write_bundle(
            out, here.banks, here.labels, here.completions, here.preferences, here.label_readings, here.conversations,
            banks, overwrite,
        )  # fmt: skip

    def import_bundle(self, path: Path) -> Merged:
        """Merge such a file into this library, without losing or duplicating anything."""
        self._check_reading(path)
        here = self.bench
        return merge_bundle(path, here.database, here.banks, here.preferences, here.label_readings)


def _bank_hash(label: Label) -> str:
    return label.bank_hash


def _model(bank: Bank | None, text: Completion | None, shown: Callable[[str], str]) -> str:
    name = bank.record.model if bank is not None else text.model if text is not None else ""
    return shown(name)
