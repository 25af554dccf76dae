"""The shelf of banks."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.bench import EXAMPLE
from melbo_app.library.atlases import PAIR
from melbo_app.library.bank import Bank, BankSummary, ImportHints
from melbo_app.library.banks import check_name
from melbo_app.library.completion import Comparison
from melbo_app.library.file_names import first_words
from melbo_app.library.formats import gguf
from melbo_app.library.formats.rows import settled
from melbo_app.library.formula import combine
from melbo_app.library.imports import check_import, check_width, read_file, source_of
from melbo_app.library.label_readings import newest
from melbo_app.library.model_catalogue import canonical
from melbo_app.library.ranking import by_direction, by_strength
from melbo_app.sizes import size_text
from melbo_app.studies.completing import variants
from melbo_app.workbench.models import Models

READ_ANYWAY = 2_000_000  # bytes up to which files are read without a check of the memory, which imports torch


@dataclass(frozen=True)
class Home:
    """Where vectors are: in a bank on the shelf, with a curve or a pair of layers that was measured with them, or
    nowhere any more."""

    place: Literal["shelf", "curve", "layers", "gone"]
    name: str
    random: bool = False
    """Whether a curve drew them at random."""
    layers: tuple[int, int] | None = None
    """The pair that was measured."""

    @property
    def is_kept(self) -> bool:
        """Whether they are in no bank, but can be put into one."""
        return self.place in ("curve", "layers")


class Shelf(Models):
    """Banks: list, import, export, combine and delete."""

    def banks(self) -> list[BankSummary]:
        """Own banks, newest first, then the samples, those of the loaded (or default) model first."""
        return sorted(self.bench.banks.list(), key=lambda line: line.sample and not self._is_ours(line))

    def bank(self, name: str) -> Bank:
        """The bank called ``name``."""
        return self.bench.banks.load(name)

    def bank_with(self, bank_hash: str | None) -> BankSummary | None:
        """The line of the bank with these vectors, whatever its name; None if the shelf has none."""
        return next((line for line in self.bench.banks.list() if bank_hash and line.hash == bank_hash), None)

    def save_as_bank(self, bank_hash: str, name: str | None = None) -> Bank:
        """Put the vectors of a curve, a search or a pair of layers on the shelf, by default under a free name made of
        their prompt or layers and R. If a bank has them already, that one is returned. Raises InputError if they are
        gone."""
        if (there := self.bank_with(bank_hash)) is not None:
            return self.bank(there.name)
        kept = next((line for line in self.bench.parts.list() if line.hash == bank_hash), None)
        if kept is None:
            problem = "the vectors of this text are no longer kept"
            raise InputError("bank", problem, "Measure the curve again, or train at this R")
        bank = self.bench.parts.load(kept.name)
        saved = bank.renamed(self._free_name(bank) if name is None else check_name(name))
        self.bench.banks.save(saved)
        return saved

    def _free_name(self, bank: Bank) -> str:
        record, taken = bank.record, {line.name.casefold() for line in self.bench.banks.list()}
        of = first_words(record.prompts[0].user if record.prompts else "", "curve")
        if record.name.startswith(PAIR):
            of = f"blocks {record.source} {record.target}"
        stem = f"{of} R {record.radius:.3g}"
        names = itertools.chain([stem], (f"{stem} {number}" for number in itertools.count(2)))
        return next(name for name in names if name.casefold() not in taken)

    def home(self, bank_hash: str, name: str) -> Home:
        """Where the vectors with this hash are, which were called ``name`` when they were used."""
        names = [line.name for line in self.bench.banks.list() if line.hash == bank_hash]
        if names:
            return Home("shelf", name if name in names else names[0])
        with suppress(MelboError):
            kept = self.bench.parts.load(name)
            if kept.hash == bank_hash and name.startswith(PAIR):
                return Home("layers", name, layers=(kept.record.source, kept.record.target or 0))
            if kept.hash == bank_hash:
                return Home("curve", name, kept.record.method == "random")
        return Home("gone", name)

    def check_bank_name(self, name: str) -> str:
        """The name as it will be stored. Raises InputError if it is invalid or taken."""
        return self.bench.banks.check_free(check_name(name))

    def import_bank(
        self,
        path: Path,
        name: str | None = None,
        *,
        model: str | None = None,
        source: int | None = None,
        target: int | None = None,
        format: str | None = None,
        counted: str | None = None,
        radius: float | None = None,
        beside: Sequence[Path] = (),
        rows: str | None = None,
        position: int | None = None,
    ) -> Bank:
        """Import a bank from a file. The arguments supply what the file lacks; without a model in the file, the bank is
        assumed to be for ``model`` or, by default, for the loaded one.

        ``source`` counts layers as the file's format does: ``counted`` by the "output" or the "input" of a block, None:
        by the convention of ``format``. ``radius`` gives all vectors this norm. ``beside`` are files that belong to it.
        ``rows`` is the meaning of a table's rows: "layers", one row each (with one row more than blocks, row k is the
        output of block k − 1), or "vectors" of one block. ``position`` chooses one of several, None: the last.
        Raises InputError("rows", …) if the meaning of the rows must be given.
        """
        self.bench.banks.check_import_name(path, name)
        self._check_reading(path, *beside)
        contents = read_file(path, format, beside)[1]
        hints = ImportHints(
            source=source, target=target, counted=counted, radius=radius, rows=rows, position=position
        )  # fmt: skip
        if contents.bank is None:
            check_import(contents, hints)  # before the model is loaded, which takes seconds
            if model:
                self.load_model(model)
            lm = self.bench.model.get()
            hints = replace(
                hints, model=self.bench.model.spec, model_hash=lm.weights_hash, hidden_size=lm.hidden_size,
                blocks=len(lm.blocks),
            )  # fmt: skip
            check_width(contents, lm.hidden_size)
            block = source_of(settled(contents, hints), hints)
            # the norm is the slider's second unit; missing layers are refused below
            inside = 0 <= block < len(lm.blocks) - 1
            prompt = Prompt(EXAMPLE.user, template=lm.usual_template)
            norm = self.median_norm([prompt], block) if inside else None
            hints = replace(hints, median_norm=norm)
        del contents  # it is read again: release the memory first
        return self.bench.banks.import_file(path, name=name, hints=hints, format=format, beside=beside)

    def _check_reading(self, *paths: Path) -> None:
        """Raises InputError for files that need more memory than work may use."""
        size = sum(path.stat().st_size for path in paths if path.is_file())
        if size > READ_ANYWAY:
            from melbo_app.engine.memory import check_reading

            check_reading(size, self.bench.model.memory_gb)

    def export_bank(
        self,
        name: str,
        out: Path,
        *,
        format: str | None = None,
        vector: int | None = None,
        radius: float | None = None,
        overwrite: bool = False,
        shown: Callable[[Bank], Bank] = lambda bank: bank,
    ) -> Path:
        """Write a bank to a file, in ``format`` or by the ending of ``out``: all vectors or one, at their own R or
        another. ``docs/formats.md`` lists the formats. ``shown`` may change the record."""
        kept = self.bench.banks.load(name)
        bank = shown(kept)
        labels, chosen = self.bench.labels.of_bank(bank.hash), None if bank is kept else bank
        if vector is not None or radius is not None:
            variants(bank, [] if vector is None else [vector], [] if radius is None else [radius])
            formula = _formula(bank.record.name, vector, radius)
            chosen = combine(formula, bank.record.name, lambda one: shown(self.bench.banks.load(one)))
        if vector is not None:
            labels = {0: labels[vector]} if vector in labels else {}
        every = self.bench.label_readings.of_bank(bank.hash) if radius is None else ()
        return self.bench.banks.export_file(
            name, out, overwrite=overwrite, format=format, chosen=chosen, labels=labels,
            readings={at: newest(every, one.vector, one.name) for at, one in labels.items()},
        )  # fmt: skip

    def llama_command(self, name: str, file: Path) -> str:
        """The llama.cpp command line that runs an exported GGUF control vector of the bank."""
        record = self.bench.banks.load(name).record
        prompt = record.prompts[0].user if record.prompts else None
        return gguf.command(str(file), record.model, prompt)

    def rename_bank(self, name: str, new: str) -> str:
        """Rename an own bank; returns its new name. Its labels and completions follow."""
        return self.bench.banks.rename(name, new)

    def delete_bank(self, name: str) -> None:
        """Remove an own bank from the shelf; its labels and completions stay."""
        self.bench.banks.delete(name)

    def combine_banks(self, formula: str, name: str, most_bytes: int | None = None, note: str | None = None) -> Bank:
        """Make a bank by a formula over vectors of others, such as ``'pirate'[3] - 0.5 * 'weekend'[0]``;
        ``engine/recipe.py`` describes formulas. Raises InputError if its vectors take more than ``most_bytes``."""
        bank = combine(formula, self.check_bank_name(name), self.bench.banks.load, note)
        if most_bytes is not None and bank.vectors.nbytes > most_bytes:
            problem = f"its {len(bank.vectors)} vectors take {size_text(bank.vectors.nbytes)}"
            raise InputError("formula", problem, f"At most {size_text(most_bytes)} are allowed here")
        self.bench.banks.save(bank)
        return bank

    def ranking(self, name: str, words: tuple[str, str] | None = None) -> list[tuple[int, float]]:
        """The bank's vectors in order, by the strength that their method gives; or, with two words, by the cosine
        between their effect at the target layer and the direction from the second word to the first."""
        bank = self.bank(name)
        if words is None:
            return by_strength(bank)
        from melbo_app.engine.unembedding import word_difference

        lm = self.bench.model.get()
        self.bench.bank_for(lm, name)
        return by_direction(bank, word_difference(lm, *words).numpy())

    def put_in_samples(self) -> list[str]:
        """Add the shipped texts and labels of the samples to the database, once; returns the names of these banks."""
        return self.bench.samples.put_in(self.bench.banks.list(), self.bench.labels)

    def sample_comparison(self, name: str) -> Comparison | None:
        """The shipped comparison of the sample ``name``; None for other banks."""
        line = next((line for line in self.bench.banks.list() if line.name == name and line.sample), None)
        id = None if line is None or line.hash is None else self.bench.samples.comparison_of(line.hash)
        return None if id is None else self.bench.completions.comparison(id)

    def _is_ours(self, line: BankSummary) -> bool:
        """Whether a bank is for the loaded model, or for the default one if none is loaded yet."""
        if line.record is None:
            return False
        loaded = self.bench.model.state().weights_hash
        if loaded is not None:
            return line.record.model_hash == loaded
        return canonical(line.record.model) == canonical(self.bench.model.spec)


def _formula(name: str, vector: int | None, radius: float | None) -> str:
    """The formula for one vector of a bank, or all, at another R; negative R reverses them."""
    rows = f"'{name}'" + ("" if vector is None else f"[{vector}]")
    if radius is None:
        return rows
    return f"{'-1 * ' if radius < 0 else ''}scaled({rows}, {abs(float(radius))!r})"
