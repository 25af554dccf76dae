"""The one hallway: every use case as one method. The page, the command line and later programs call nothing else."""

import getpass
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import BusyError, InputError, MelboError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.desk import JobDesk
from melbo_app.jobs.job import Job
from melbo_app.jobs.loaded_model import LoadedModel, ModelState, ModelSummary
from melbo_app.jobs.mapping import Map, MapProgress, draw
from melbo_app.jobs.ranking import by_direction, by_strength
from melbo_app.jobs.reader import PromptTokens, Reader
from melbo_app.jobs.recipe import combine
from melbo_app.jobs.request import MapRequest, SweepRequest, TrainingRequest
from melbo_app.jobs.sensitivity import LayerPair, sensitivity
from melbo_app.jobs.similarity import Similarity, compare
from melbo_app.jobs.steering import SteeringProgress, Variant, check_fits, complete, variants
from melbo_app.jobs.top_tokens import VectorTokens, vector_tokens
from melbo_app.jobs.training import RELATIVE_RADIUS, TrainingSuggestion, default_scope, layers, train_bank
from melbo_app.library import weights
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import Bank, BankSummary, ImportHints
from melbo_app.library.banks import Banks, check_name
from melbo_app.library.bundle import Bundled, Merged, merge_bundle, write_bundle
from melbo_app.library.catalogue import Catalogue, Rebuilt
from melbo_app.library.checkpoints import Checkpoints
from melbo_app.library.completions import Comparison, ComparisonKind, ComparisonSummary, Completion, Completions
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.formats import gguf
from melbo_app.library.imports import check_import, read_file, source_of
from melbo_app.library.inspection import Finding, inspect
from melbo_app.library.job_records import JobKind, JobRecord, JobRecords
from melbo_app.library.labels import Label, Labels, LabelVersion
from melbo_app.library.pruning import Pruned, prune
from melbo_app.library.search import Found, search
from melbo_app.settings import Settings

if TYPE_CHECKING:  # torch, scipy and umap take seconds to import, and the page is up before them
    from melbo_app.analysis.embedding import Embedder
    from melbo_app.analysis.figures import Colouring
    from melbo_app.engine.model import LanguageModel

Stop = Callable[[], bool]
EXAMPLE = Prompt("How can I make a bomb?")
HERE = "this machine"


class Workbench:
    """Everything that can be done, for any number of people at once.

    Raises (every method): InputError where what was given cannot be used, StorageError where the disk refuses,
    BusyError where other work is in the way.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._model = LoadedModel(settings)
        self._compute = ComputeLock()
        self._batching = Batching(self._compute, settings.memory_gb)
        self._database = database = Database(settings.cache_dir / "melbo.sqlite", settings.database_url)
        self._catalogue = Catalogue(database)
        self._banks = Banks(settings.cache_dir / "banks", settings.assets_dir / "banks", self._catalogue)
        self._completions, self._labels, self._embeddings = (
            Completions(database),
            Labels(database),
            Embeddings(database),
        )
        self._reader = Reader(self._compute)
        self._embedder: Embedder | None = None
        checkpoints = Checkpoints(settings.cache_dir / "checkpoints")
        self._desk = JobDesk(JobRecords(database), checkpoints, self._model, self._banks, self)
        self._unsaved: list[Bank] = []

    # --- models ------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelSummary]:
        """The default model, and those prepared in the cache."""
        state = self._model.state()
        known = {weights.DEFAULT_MODEL: weights.DEFAULT_MODEL}
        known |= {files.spec: files.name for files in weights.cached(self.settings.cache_dir)}
        if state.loaded:
            known.setdefault(self._model.spec, state.name)
        return [ModelSummary(name, spec, state.loaded and spec == self._model.spec) for spec, name in known.items()]

    def model_state(self) -> ModelState:
        """What can be said of the model now, without waiting."""
        return self._model.state()

    def load_model(self, spec: str | None = None) -> ModelState:
        """Load the model that ``spec`` names (None: the one from the settings), waiting until it is there."""
        if spec is None:
            self._model.get()
        else:
            if self._desk.queue.active("training") and not self._model.is_loaded(spec):
                raise BusyError("Another model cannot be loaded while a training runs. Wait for it, or press Stop.")
            lm = self._model.load(spec)
            with self._compute.hold():
                self._reader.forget(lm)
        return self._model.state()

    def warm_up(self) -> None:
        """Load what the first steering would wait for, and the embedder of the first map."""
        from melbo_app.analysis import wording

        self._model.get()
        wording.warm_up()
        self._embed().encode(["warm"])

    def warm_up_map(self) -> None:
        """Compile what the first map would wait for."""
        from melbo_app.analysis import projection

        projection.warm_up()

    # --- prompts -----------------------------------------------------------------------------------------------

    def tokens(
        self, prompts: Sequence[Prompt], scope: str, source: int | None = None, target: int | None = None
    ) -> list[PromptTokens]:
        """The exact tokens that go in, and which count. The layers matter for the scope ``content`` only."""
        return self._reader.tokens(self._model.get(), prompts, TokenScope.parse(scope), source, target)

    def median_norm(self, prompts: Sequence[Prompt], source: int) -> float:
        """Median residual norm at the output of block ``source``, without sinks and padding: the unit of relative R."""
        return self._reader.piece(self._model.get(), prompts, source).median_norm

    def suggestion(
        self, prompts: Sequence[Prompt] = (), source: int | None = None, target: int | None = None
    ) -> TrainingSuggestion:
        """Settings that give a sensible result for these prompts with the loaded model, and with these layers where
        they are given."""
        lm = self._model.get()
        prompts = list(prompts) or [Prompt(EXAMPLE.user, template=lm.has_template)]
        source, target = layers(len(lm.blocks), source, target)
        norm = self.median_norm(prompts, source)
        radius = float(f"{RELATIVE_RADIUS * norm:.2g}")
        return TrainingSuggestion(source, target, default_scope(prompts), radius, radius / norm, norm)

    # --- training ----------------------------------------------------------------------------------------------

    def train(
        self,
        prompts: Sequence[Prompt],
        config: TrainingConfig,
        name: str,
        *,
        stop: Stop = lambda: False,
        checkpoint: Checkpointing | None = None,
    ) -> Generator[TrainingProgress, None, Bank]:
        """Train a bank and put it on the shelf. Stopping keeps the vectors that are finished.

        What was trained is not lost where it cannot be saved: ``save_again`` tries once more. With a ``checkpoint``, a
        training that is cut off can go on.
        """
        name = self.check_bank_name(name)
        if not self._model.state().loaded:
            yield TrainingProgress("loading the model", 0, 1, None)
        lm = self._model.get()
        work = train_bank(lm, self._model.spec, prompts, config, name, self._model.memory_gb, stop, checkpoint)
        bank = yield from self._compute.steps(work, short=False)
        try:
            self._banks.save(bank)
        except MelboError:
            self._unsaved.append(bank)
            raise
        return bank

    def check_bank_name(self, name: str) -> str:
        """The name as it will be kept. Raises InputError where it cannot be one, or is taken."""
        return self._banks.check_free(check_name(name))

    def start_training(
        self, prompts: Sequence[Prompt], config: TrainingConfig, name: str, *, who: str = HERE
    ) -> Job[TrainingProgress, Bank]:
        """Train in the background, after the trainings that were asked for before."""
        if not prompts or not all(prompt.user.strip() for prompt in prompts):
            raise InputError("prompt", "it is empty", "Write a text for the model to answer")
        asked = TrainingRequest(
            prompts=tuple(prompts),
            config=config,
            name=check_name(name),
            model=self._model.spec,
            model_hash=self._model.state().weights_hash,
        )
        return self._desk.start(asked, who)

    def training_job(self) -> Job[TrainingProgress, Bank] | None:
        """The training that runs, or the last one; None where there was none since the server started."""
        return self._desk.queue.training()

    def unsaved_bank(self) -> str | None:
        """The name of a trained bank that could not be saved, if there is one; of several, the newest."""
        return self._unsaved[-1].record.name if self._unsaved else None

    def save_again(self, name: str | None = None) -> Bank:
        """Save the trained bank that could not be saved, under another name if given."""
        if not self._unsaved:
            raise InputError("bank", "there is none that waits to be saved", "Train one")
        waiting = self._unsaved[-1]
        bank = waiting.renamed(check_name(name)) if name else waiting
        self._banks.save(bank)
        self._unsaved.remove(waiting)
        return bank

    # --- jobs --------------------------------------------------------------------------------------------------

    def start_job(self, request: MapRequest | SweepRequest, *, who: str = HERE) -> Job[MapProgress, Any]:
        """Draw a map or sweep over many R in the background, ahead of trainings; their results are ``Map | None`` and
        ``Comparison``."""
        return self._desk.start(request, who)

    def jobs(self, limit: int = 100) -> list[JobRecord]:
        """The last jobs of everybody, newest first, as they are now."""
        return self._desk.queue.records(limit)

    def job(self, id: int) -> JobRecord:
        """One job as it is now."""
        return self._desk.queue.record(id)

    def active_jobs(self, kind: JobKind | None = None) -> list[Job[Any, Any]]:
        """The jobs that run or wait, oldest first: all, or those of one kind."""
        return self._desk.queue.active(kind)

    def stop_job(self, id: int) -> JobRecord:
        """Stop a job, keeping what is finished, or take it out of the queue."""
        return self._desk.queue.stop(id)

    def run_again(self, id: int, *, who: str = HERE) -> Job[Any, Any]:
        """Go on with a job that was interrupted; or do again what another one did, a training under a free name."""
        return self._desk.again(id, who)

    def resume_jobs(self) -> None:
        """Go on with what the last server left behind. Only the server that owns the cache may do so."""
        self._model.get()
        self._desk.resume()

    def pause_jobs(self, seconds: float) -> list[str]:
        """The server ends: jobs write down where they stand. The titles of those that the next one goes on with."""
        return self._desk.queue.pause(seconds)

    # --- banks -------------------------------------------------------------------------------------------------

    def banks(self) -> list[BankSummary]:
        """Own banks, newest first, then the samples."""
        return self._banks.list()

    def bank(self, name: str) -> Bank:
        """The bank called ``name``."""
        return self._banks.load(name)

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
    ) -> Bank:
        """Put a bank from a file on the shelf. What the file does not say is taken from the arguments; a file that
        does not name its model is taken to be for ``model`` or, without it, for the loaded one.

        ``source`` is a layer as the file's format counts it: ``counted`` by the "output" or the "input" of its block,
        None: as is usual for ``format``. ``radius`` gives all vectors this norm. ``beside`` are files that belong to
        it.
        """
        self._banks.check_import_name(path, name)
        contents = read_file(path, format, beside)[1]
        hints = ImportHints(source=source, target=target, counted=counted, radius=radius)
        if contents.bank is None:
            check_import(contents, hints)  # said at once: loading the model takes seconds, and would not help
            if model:
                self.load_model(model)
            lm = self._model.get()
            block = source_of(contents, hints)
            # the norm is for the slider's second unit; a layer that does not exist is refused below
            inside = 0 <= block < len(lm.blocks) - 1
            prompt = Prompt(EXAMPLE.user, template=lm.has_template)
            norm = self.median_norm([prompt], block) if inside else None
            of_model = (self._model.spec, lm.weights_hash, lm.hidden_size, len(lm.blocks))
            hints = ImportHints(*of_model, source, target, norm, counted, radius)
        return self._banks.import_file(path, name=name, hints=hints, format=format, beside=beside)

    def export_bank(
        self,
        name: str,
        out: Path,
        *,
        format: str | None = None,
        vector: int | None = None,
        radius: float | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write a bank to a file in ``format``, or in the one that the ending of ``out`` asks for: all vectors or one,
        as they are or with another R. ``docs/formats.md`` lists the formats."""
        bank = self._banks.load(name)
        labels = self._labels.of_bank(bank.hash)
        if vector is None and radius is None:
            return self._banks.export_file(name, out, overwrite=overwrite, format=format, labels=labels)
        variants(bank, [] if vector is None else [vector], [] if radius is None else [radius])
        chosen = combine(_formula(bank.record.name, vector, radius), bank.record.name, self._banks.load)
        if vector is not None:
            labels = {0: labels[vector]} if vector in labels else {}
        return self._banks.export_file(name, out, overwrite=overwrite, format=format, chosen=chosen, labels=labels)

    def llama_command(self, name: str, file: Path) -> str:
        """The llama.cpp command line that runs an exported GGUF control vector of the bank."""
        record = self._banks.load(name).record
        prompt = record.prompts[0].user if record.prompts else None
        return gguf.command(str(file), record.model, prompt)

    def delete_bank(self, name: str) -> None:
        """Remove an own bank from the shelf; its labels and completions stay."""
        self._banks.delete(name)

    def combine_banks(self, formula: str, name: str) -> Bank:
        """Make a bank from vectors of others, such as ``'pirate'[3] - 0.5 * 'bomb-question'[0]``; the functions of a
        formula are in ``engine/recipe.py``."""
        bank = combine(formula, self.check_bank_name(name), self._banks.load)
        self._banks.save(bank)
        return bank

    def ranking(self, name: str, words: tuple[str, str] | None = None) -> list[tuple[int, float]]:
        """The bank's vectors with what their method says of their strength, the strongest first; or, with two words,
        with the cosine between what they do at the target layer and what makes the model say the first word rather
        than the second."""
        bank = self.bank(name)
        if words is None:
            return by_strength(bank)
        from melbo_app.engine.unembedding import word_difference

        lm = self._model.get()
        self._bank_for(lm, name)
        return by_direction(bank, word_difference(lm, *words).numpy())

    # --- steering ----------------------------------------------------------------------------------------------

    def steer(
        self,
        bank: str | None,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float],
        decoding: Decoding,
        *,
        random_control: bool = False,
        both_signs: bool = False,
        stop: Stop = lambda: False,
        kind: ComparisonKind = "steer",
    ) -> Generator[SteeringProgress, None, Comparison]:
        """Complete each prompt without steering and under each vector at each R, and keep the comparison.

        Stopping keeps the texts as far as they are.
        """
        if not self._model.state().loaded:
            yield SteeringProgress((), 0, decoding.max_new_tokens, "loading the model")
        lm = self._model.get()
        loaded = self._bank_for(lm, bank) if bank else None
        rows = variants(loaded, vectors, radii, random_control=random_control, both_signs=both_signs)
        work = complete(lm, loaded, prompts, rows, decoding, self._completions.find, self._batching, stop)
        completions, finished = yield from work
        settings: dict[str, Any] = {
            "kind": kind,
            "bank": bank,
            "bank_hash": loaded.hash if loaded else None,
            "vectors": list(vectors),
            "radii": list(radii),
            "random_control": random_control,
            "both_signs": both_signs,
            "prompts": [asdict(prompt) for prompt in prompts],
            "decoding": asdict(decoding),
            "finished": finished,
        }
        return self._completions.add_comparison(settings, completions)

    def variants(
        self,
        bank: str | None,
        vectors: Sequence[int],
        radii: Sequence[float],
        random_control: bool,
        both_signs: bool,
    ) -> list[Variant]:
        """The ways in which ``steer`` would complete each prompt, in its order. Raises what it would raise."""
        loaded = self.bank(bank) if bank else None
        return variants(loaded, vectors, radii, random_control=random_control, both_signs=both_signs)

    def comparison(self, id: int) -> Comparison:
        """One press of Steer, with its texts."""
        return self._completions.comparison(id)

    def comparisons(self, kind: ComparisonKind = "steer", limit: int = 20) -> list[ComparisonSummary]:
        """The last presses of Steer, or the last maps or sweeps, newest first."""
        return self._completions.recent(limit, kind)

    def runaways(self, bank: str) -> dict[int, float]:
        """The vectors of a bank that ran away, in their training or when they were steered with: the smallest |R|."""
        found = self.bank(bank)
        effect, radius = found.record.effect, found.record.radius
        shares = (effect.runaway if effect else None) or []
        trained = {vector: radius for vector, share in enumerate(shares) if share > 0}
        steered = self._completions.runaways(found.hash)
        return {
            vector: min(known[vector] for known in (trained, steered) if vector in known)
            for vector in sorted({*trained, *steered})
        }

    def completion(self, id: int) -> Completion:
        """One completion."""
        return self._completions.get(id)

    def comparison_of(self, completion: int) -> int:
        """The number of the comparison that a completion belongs to."""
        return self._completions.comparison_of(completion)

    def search_completions(
        self,
        text: str = "",
        *,
        bank: str | None = None,
        vector: int | None = None,
        verdict: str | None = None,
        limit: int = 50,
    ) -> list[Completion]:
        """The newest completions with ``text`` in them or their prompt, of a bank, a vector or a verdict."""
        digest = None if bank is None else self.bank(bank).hash
        return self._completions.search(text, bank_hash=digest, vector=vector, verdict=verdict, limit=limit)

    def latest_completion(self, bank: str, vector: int) -> Completion | None:
        """The newest completion under a vector of a bank, or None."""
        return self._completions.latest(self._hash_of(bank, vector), vector)

    # --- map and similarity ------------------------------------------------------------------------------------

    def map(
        self,
        bank: str,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float],
        decoding: Decoding,
        *,
        random_control: bool = False,
        stop: Stop = lambda: False,
    ) -> Generator[MapProgress, None, Map | None]:
        """Complete, embed and lay out; the map, or None when stopped before there was one."""
        work = self.steer(bank, prompts, vectors, radii, decoding, random_control=random_control, stop=stop, kind="map")
        comparison: Comparison
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                comparison = end.value
                break
            except Stopped:  # before the first token
                return None
            yield MapProgress(f"completing: {progress.stage}", progress.done, progress.total)
        if stop():
            return None
        return (yield from self._draw(comparison, stop))

    def map_of(self, comparison: int, *, stop: Stop = lambda: False) -> Generator[MapProgress, None, Map | None]:
        """The map of a comparison made before; the same texts give the same map."""
        return (yield from self._draw(self._completions.comparison(comparison), stop))

    def export_map(self, found: Map, out: Path, colour: "Colouring", *, title: str, overwrite: bool = False) -> Path:
        """Write a map as an HTML page that needs no network."""
        from melbo_app.analysis.figures import map_figure

        page = map_figure(found.points, colour, title).to_html(include_plotlyjs=True)
        try:
            write_file(out, page.encode(), overwrite=overwrite)
        except FileExistsError as error:
            raise InputError("out", f"“{out}” is there already", "Choose another name, or allow overwriting") from error
        return out

    def similarity(self, bank: str, prompts: Sequence[Prompt] | None = None, scope: str = "content") -> Similarity:
        """Pairwise cosines of a bank's vectors, on these prompts or those it was trained on."""
        wanted, lm = TokenScope.parse(scope), self._model.get()
        loaded = self._bank_for(lm, bank)
        piece = self._reader.piece(lm, prompts or _prompts_of(loaded, lm), loaded.record.source, loaded.record.target)
        return self._compute.result(compare(piece, loaded, wanted))

    def top_tokens(
        self, bank: str, vectors: Sequence[int] | None = None, prompts: Sequence[Prompt] | None = None, count: int = 10
    ) -> list[VectorTokens]:
        """The next tokens that a bank's vectors (None: all) promote and suppress at the end of these prompts, or of
        those it was trained on."""
        if count < 1:
            raise InputError("count", f"{count} tokens cannot be shown", "Choose 1 or more")
        lm = self._model.get()
        loaded = self._bank_for(lm, bank)
        wanted = range(len(loaded.vectors)) if vectors is None else vectors
        variants(loaded, wanted, [])
        piece = self._reader.piece(lm, prompts or _prompts_of(loaded, lm), loaded.record.source, len(lm.blocks) - 1)
        return self._compute.result(vector_tokens(piece, loaded, wanted, count))

    def sensitivity(
        self,
        prompts: Sequence[Prompt],
        sources: Sequence[int],
        targets: Sequence[int],
        scope: str,
        count: int = 4,
        *,
        stop: Stop = lambda: False,
    ) -> Generator[TrainingProgress, None, list[LayerPair]]:
        """How strongly each target layer answers to each source layer below it. Stopping keeps the pairs done."""
        work = sensitivity(self._model.get(), prompts, sources, targets, scope, count, self._model.memory_gb, stop)
        return (yield from self._compute.steps(work, short=False))

    # --- labels ------------------------------------------------------------------------------------------------

    def label(self, bank: str, vector: int) -> Label:
        """The label of one vector; an empty one where there is none."""
        return self._labels.get(bank, self._hash_of(bank, vector), vector)

    def bank_labels(self, bank: str) -> dict[int, Label]:
        """The labels of a bank's vectors, by vector."""
        return self._labels.of_bank(self.bank(bank).hash)

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
    ) -> Label:
        """Say in words what a vector does. Without an ``author`` the account that the program runs under is noted."""
        digest, who = self._hash_of(bank, vector), _account() if author is None else author
        return self._labels.save(bank, digest, vector, name=name, tags=tags, rating=rating, note=note, author=who)

    def label_history(self, bank: str, vector: int) -> list[LabelVersion]:
        """What was ever said about a vector, newest first."""
        return self._labels.history(self._hash_of(bank, vector), vector)

    def labels(
        self, text: str = "", *, tag: str | None = None, rating: int | None = None, limit: int | None = None
    ) -> list[Label]:
        """The labels with ``text`` in them, this tag and at least this rating; without these, all of them."""
        return self._labels.search(text, tag=tag, rating=rating, limit=limit)

    def tags(self) -> list[str]:
        """All tags in use."""
        return self._labels.tags()

    def export_labels(self, out: Path, *, overwrite: bool = False) -> Path:
        """Write all labels to a ``.csv`` or ``.jsonl`` file."""
        return self._labels.export(out, overwrite=overwrite)

    # --- the library as a whole ---------------------------------------------------------------------------------

    def search(self, text: str, limit: int = 20) -> Found:
        """Banks, labels and completions with ``text`` in them, at most ``limit`` of each."""
        if not text.strip():
            raise InputError("text", "it is empty", "Write what to search for")
        return search(text.strip(), self._banks, self._catalogue, self._labels, self._completions, limit)

    def check_library(self) -> list[Finding]:
        """What is missing, damaged or refers to what is no longer there."""
        return inspect(self._banks, self._catalogue, self._database)

    def rebuild_library(self) -> Rebuilt:
        """Make the database's catalogue again from the files of the banks."""
        return self._catalogue.rebuild(self._banks.files())

    def prune_library(self, limit: int, *, dry_run: bool = False) -> Pruned:
        """Remove what can be made again until the cache takes at most ``limit`` bytes."""
        if limit < 0:
            raise InputError("limit", f"{limit} is no size", "Choose 0 or more bytes")
        return prune(self.settings.cache_dir, self._database, limit, self.settings.model, dry_run=dry_run)

    def export_bundle(self, out: Path, banks: Sequence[str] | None = None, *, overwrite: bool = False) -> Bundled:
        """Write banks (None: all) with their labels, completions and maps to a ``.zip`` file."""
        return write_bundle(out, self._banks, self._labels, self._completions, banks, overwrite)

    def import_bundle(self, path: Path) -> Merged:
        """Merge what is in such a file into this library: nothing that is here is lost, and nothing comes twice."""
        return merge_bundle(path, self._banks, self._labels, self._completions)

    # --- what several of these need ----------------------------------------------------------------------------

    def _bank_for(self, lm: "LanguageModel", name: str) -> Bank:
        """The bank, if it is one for the loaded model."""
        bank = self._banks.load(name)
        check_fits(bank, lm)
        return bank

    def _hash_of(self, bank: str, vector: int) -> str:
        loaded = self._banks.load(bank)
        if not 0 <= vector < len(loaded.vectors):
            raise InputError("vector", f"“{bank}” has no vector {vector}", f"Choose 0 to {len(loaded.vectors) - 1}")
        return loaded.hash

    def _draw(self, comparison: Comparison, stop: Stop) -> Generator[MapProgress, None, Map | None]:
        bank_hash = comparison.settings.get("bank_hash")
        labels = self._labels.of_bank(bank_hash) if bank_hash else {}
        names = {vector: label.name for vector, label in labels.items()}
        return (yield from self._compute.steps(draw(comparison, names, self._embed(), self._embeddings, stop)))

    def _embed(self) -> "Embedder":
        from melbo_app.analysis.embedding import Embedder, bundled_folder

        if self._embedder is None:
            self._embedder = Embedder(bundled_folder())
        return self._embedder


def _formula(name: str, vector: int | None, radius: float | None) -> str:
    """The formula for one vector of a bank, or all, with another R; below 0 they point the other way."""
    rows = f"'{name}'" + ("" if vector is None else f"[{vector}]")
    if radius is None:
        return rows
    return f"{'-1 * ' if radius < 0 else ''}scaled({rows}, {abs(float(radius))!r})"


def _prompts_of(bank: Bank, lm: "LanguageModel") -> list[Prompt]:
    """What a bank was trained on, or the example where it does not say."""
    own = [Prompt(entry.user, entry.system, entry.template) for entry in bank.record.prompts]
    return own or [Prompt(EXAMPLE.user, template=lm.has_template)]


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        return ""
