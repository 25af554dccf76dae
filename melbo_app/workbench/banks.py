"""Use cases of the shelf."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.bench import EXAMPLE
from melbo_app.library.bank import Bank, BankSummary, ImportHints
from melbo_app.library.banks import check_name
from melbo_app.library.completion import Comparison
from melbo_app.library.formats import gguf
from melbo_app.library.formats.rows import settled
from melbo_app.library.formula import combine
from melbo_app.library.imports import check_import, check_width, read_file, source_of
from melbo_app.library.model_catalogue import canonical
from melbo_app.library.ranking import by_direction, by_strength
from melbo_app.sizes import size_text
from melbo_app.studies.completing import variants
from melbo_app.workbench.models import Models

READ_ANYWAY = 2_000_000  # bytes of files for which torch is not imported only to look at the memory


class Shelf(Models):
    """Banks: what is there, what comes and goes."""

    def banks(self) -> list[BankSummary]:
        """Own banks, newest first, then the samples: first those of the model that is loaded, or will be."""
        return sorted(self.bench.banks.list(), key=lambda line: line.sample and not self._is_ours(line))

    def bank(self, name: str) -> Bank:
        """The bank called ``name``."""
        return self.bench.banks.load(name)

    def check_bank_name(self, name: str) -> str:
        """The name as it will be kept. Raises InputError where it cannot be one, or is taken."""
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
        """Put a bank from a file on the shelf. What the file does not say is taken from the arguments; a file that
        does not name its model is taken to be for ``model`` or, without it, for the loaded one.

        ``source`` is a layer as the file's format counts it: ``counted`` by the "output" or the "input" of its block,
        None: as is usual for ``format``. ``radius`` gives all vectors this norm. ``beside`` are files that belong to
        it. ``rows`` says what the rows of a table are: one for each of the "layers" (row k of a file with one more than
        the model has blocks is the output of block k − 1), or "vectors" of one block; ``position`` is the one to take
        of several, None: the last. Raises InputError("rows", …) where that must be asked.
        """
        self.bench.banks.check_import_name(path, name)
        self._check_reading(path, *beside)
        contents = read_file(path, format, beside)[1]
        hints = ImportHints(
            source=source, target=target, counted=counted, radius=radius, rows=rows, position=position
        )  # fmt: skip
        if contents.bank is None:
            check_import(contents, hints)  # said at once: loading the model takes seconds, and would not help
            if model:
                self.load_model(model)
            lm = self.bench.model.get()
            hints = replace(
                hints, model=self.bench.model.spec, model_hash=lm.weights_hash, hidden_size=lm.hidden_size,
                blocks=len(lm.blocks),
            )  # fmt: skip
            check_width(contents, lm.hidden_size)
            block = source_of(settled(contents, hints), hints)
            # the norm is for the slider's second unit; a layer that does not exist is refused below
            inside = 0 <= block < len(lm.blocks) - 1
            prompt = Prompt(EXAMPLE.user, template=lm.usual_template)
            norm = self.median_norm([prompt], block) if inside else None
            hints = replace(hints, median_norm=norm)
        del contents  # it is read again, and two at once would take twice the memory
        return self.bench.banks.import_file(path, name=name, hints=hints, format=format, beside=beside)

    def _check_reading(self, *paths: Path) -> None:
        """Refuse files that need more memory than work may use. Raises InputError."""
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
        """Write a bank to a file in ``format``, or in the one that the ending of ``out`` asks for: all vectors or one,
        as they are or with another R. ``docs/formats.md`` lists the formats. ``shown`` may change its record."""
        kept = self.bench.banks.load(name)
        bank = shown(kept)
        labels = self.bench.labels.of_bank(bank.hash)
        if vector is None and radius is None:
            whole = None if bank is kept else bank
            return self.bench.banks.export_file(
                name, out, overwrite=overwrite, format=format, chosen=whole, labels=labels
            )
        variants(bank, [] if vector is None else [vector], [] if radius is None else [radius])
        chosen = combine(
            _formula(bank.record.name, vector, radius), bank.record.name, lambda one: shown(self.bench.banks.load(one))
        )
        if vector is not None:
            labels = {0: labels[vector]} if vector in labels else {}
        return self.bench.banks.export_file(name, out, overwrite=overwrite, format=format, chosen=chosen, labels=labels)

    def llama_command(self, name: str, file: Path) -> str:
        """The llama.cpp command line that runs an exported GGUF control vector of the bank."""
        record = self.bench.banks.load(name).record
        prompt = record.prompts[0].user if record.prompts else None
        return gguf.command(str(file), record.model, prompt)

    def rename_bank(self, name: str, new: str) -> str:
        """Give an own bank another name; as it is called now. Its labels and completions follow."""
        return self.bench.banks.rename(name, new)

    def delete_bank(self, name: str) -> None:
        """Remove an own bank from the shelf; its labels and completions stay."""
        self.bench.banks.delete(name)

    def combine_banks(self, formula: str, name: str, most_bytes: int | None = None) -> Bank:
        """Make a bank from vectors of others, such as ``'pirate'[3] - 0.5 * 'weekend'[0]``; the functions of a
        formula are in ``engine/recipe.py``. InputError for one whose vectors take more than ``most_bytes``."""
        bank = combine(formula, self.check_bank_name(name), self.bench.banks.load)
        if most_bytes is not None and bank.vectors.nbytes > most_bytes:
            problem = f"its {len(bank.vectors)} vectors take {size_text(bank.vectors.nbytes)}"
            raise InputError("formula", problem, f"Here they may take {size_text(most_bytes)}")
        self.bench.banks.save(bank)
        return bank

    def ranking(self, name: str, words: tuple[str, str] | None = None) -> list[tuple[int, float]]:
        """The bank's vectors with what their method says of their strength, the strongest first; or, with two words,
        with the cosine between what they do at the target layer and what makes the model say the first word rather
        than the second."""
        bank = self.bank(name)
        if words is None:
            return by_strength(bank)
        from melbo_app.engine.unembedding import word_difference

        lm = self.bench.model.get()
        self.bench.bank_for(lm, name)
        return by_direction(bank, word_difference(lm, *words).numpy())

    def put_in_samples(self) -> list[str]:
        """Put the texts and labels that ship with the samples into the database, once; the names of those banks."""
        return self.bench.samples.put_in(self.bench.banks.list(), self.bench.labels)

    def sample_comparison(self, name: str) -> Comparison | None:
        """The comparison that shipped with the sample ``name``; None for any other bank."""
        line = next((line for line in self.bench.banks.list() if line.name == name and line.sample), None)
        id = None if line is None or line.hash is None else self.bench.samples.comparison_of(line.hash)
        return None if id is None else self.bench.completions.comparison(id)

    def _is_ours(self, line: BankSummary) -> bool:
        """Whether a bank is for the loaded model or, before there is one, for the model that will be loaded."""
        if line.record is None:
            return False
        loaded = self.bench.model.state().weights_hash
        if loaded is not None:
            return line.record.model_hash == loaded
        return canonical(line.record.model) == canonical(self.bench.model.spec)


def _formula(name: str, vector: int | None, radius: float | None) -> str:
    """The formula for one vector of a bank, or all, with another R; below 0 they point the other way."""
    rows = f"'{name}'" + ("" if vector is None else f"[{vector}]")
    if radius is None:
        return rows
    return f"{'-1 * ' if radius < 0 else ''}scaled({rows}, {abs(float(radius))!r})"
