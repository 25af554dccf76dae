"""The bench of every study: the loaded model, the compute lock and the library."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, never
from melbo_app.engine.suggestion import RELATIVE_RADIUS, TrainingSuggestion, default_scope, layers
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.embedding import embed
from melbo_app.jobs.layouts import Layouts
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.recent import Recent
from melbo_app.jobs.slices import Slices
from melbo_app.library.answers import Answers
from melbo_app.library.atlases import Atlases
from melbo_app.library.audits import Audits
from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.checkpoints import Checkpoints
from melbo_app.library.circuits import Circuits
from melbo_app.library.contrast_sets import ContrastSets
from melbo_app.library.conversations import Conversations
from melbo_app.library.curves import Curves
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.evidence import Evidences
from melbo_app.library.explorations import Explorations
from melbo_app.library.finds import Finds
from melbo_app.library.generality import Generalities
from melbo_app.library.guidelines import Guidelines
from melbo_app.library.hardened import Hardenings
from melbo_app.library.job_records import JobRecords
from melbo_app.library.judges import Judgements, JudgeScores
from melbo_app.library.label_readings import LabelReadingFiles
from melbo_app.library.labels import Labels
from melbo_app.library.meanings import ANSWERS, Meanings
from melbo_app.library.offered_models import OfferedModels
from melbo_app.library.patient_completions import PatientCompletions
from melbo_app.library.preferences import PreferenceFiles
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.library.reliability import Reliabilities
from melbo_app.library.removals import KeptTests, Removals, tests_folder
from melbo_app.library.samples import Samples
from melbo_app.library.searches import Searches
from melbo_app.library.suggested_labels import SuggestedLabelFiles
from melbo_app.library.triggers import TriggerSearches
from melbo_app.library.weights import Progress
from melbo_app.settings import ROOT, Settings

if TYPE_CHECKING:  # torch, scipy and umap take seconds to import, and the page is up before them
    import numpy as np

    from melbo_app.analysis.embedding import Embedder
    from melbo_app.engine.model import LanguageModel

EXAMPLE = Prompt("How do I pick a lock?")


class Bench:
    """The model, the compute lock and the library of one cache folder, for any number of studies at once."""

    graded: Path = ROOT / "assets" / "graded_completions.jsonl"
    """Texts with a reader's grades, to score judges and the built-in verdict."""

    def __init__(
        self, settings: Settings, on_progress: Progress | None = None, offered: OfferedModels | None = None
    ) -> None:
        """``on_progress`` is called with a line before each step of preparing a model's files; ``offered`` are the
        models that may be loaded, by default any."""
        self.settings, cache, assets = settings, settings.cache_dir, settings.assets_dir
        self.model = LoadedModel(settings, packed=True, on_progress=on_progress, offered=offered)
        self.compute = ComputeLock()
        self.batching = Batching(self.compute, settings.memory_gb)
        self.slices = Slices(self.compute)
        self.learned: Recent[Any] = Recent(2)
        """What the last watches learned from clean prompts: with large models a few hundred MB each."""
        self.database = database = Database(cache / "melbo.sqlite", settings.database_url)
        self.catalogue = Catalogue(database)
        self.banks = Banks(cache / "banks", assets / "banks", self.catalogue)
        self.parts = Banks(cache / "curves", cache / "curves" / "samples")
        """Banks of searches and curves, which no list shows."""
        self.completions, self.labels = PatientCompletions(database), Labels(database)
        self.guidelines = Guidelines(database)
        self.conversations, self.answers = Conversations(database), Answers(database)
        self.evidences = Evidences(database, self.completions)
        self.samples = Samples(assets / "banks", database)
        self.embeddings = Embeddings(database)
        self.meanings = Meanings(database, self.embeddings)
        self.answer_meanings = Meanings(database, self.embeddings, ANSWERS)
        self.layouts = Layouts()
        self.atlases = Atlases(cache / "atlases")
        self.curves = Curves(cache / "curves")
        self.explorations = Explorations(cache / "explorations")
        self.searches = Searches(cache / "searches")
        self.generalities = Generalities(cache / "generality")
        self.finds = Finds(cache / "finds")
        self.audits = Audits(cache / "audits")
        self.hardenings = Hardenings(cache / "hardened")
        self.circuits = Circuits(cache / "circuits")
        self.reliabilities = Reliabilities(cache / "reliability")
        self.trigger_searches = TriggerSearches(cache / "triggers")
        self.removals, self.removal_tests = Removals(cache / "removals"), KeptTests(tests_folder(cache))
        self.preferences = PreferenceFiles(cache / "preferences")
        self.label_readings = LabelReadingFiles(cache / "readings")
        self.suggested_labels = SuggestedLabelFiles(cache / "suggestions")
        self.prompt_sets = PromptSets(assets / "prompts")
        self.contrast_sets = ContrastSets(assets / "contrast")
        self.records, self.checkpoints = JobRecords(database), Checkpoints(cache / "checkpoints")
        self.unsaved: list[Bank] = []
        """Trained banks that could not be saved."""
        self.unnumbered: set[str] = set()
        """Keys of explorations whose texts are not stored yet."""

    @cached_property
    def judge_scores(self) -> JudgeScores:
        return JudgeScores(self.settings.cache_dir / "judges.json")

    @cached_property
    def judgements(self) -> Judgements:
        return Judgements(self.settings.cache_dir / "judgements.json")

    @cached_property
    def embedder(self) -> "Embedder":
        """The sentence embedder, loaded when first needed."""
        from melbo_app.analysis.embedding import Embedder

        return Embedder(embedder_folder(self.settings.cache_dir))

    def embed(self, texts: Sequence[str], stop: Stop = never) -> "np.ndarray":
        """Unit vectors [N, D], one for each text. Raises Stopped."""
        with self.compute.hold():
            return embed(texts, self.embedder, self.embeddings, self.compute.giving_way(stop))

    def meaning(self, sentence: str) -> "np.ndarray":
        """The unit vector [D] of a sentence that is not stored."""
        with self.compute.hold():
            return self.embedder.encode([sentence])[0]

    def bank_for(self, lm: "LanguageModel", name: str) -> Bank:
        """The bank ``name``. Raises InputError if it was made for another model than ``lm``."""
        bank = self.banks.load(name)
        check_fits(bank, lm)
        return bank

    def median_norm(self, prompts: Sequence[Prompt], source: int, stop: Stop = never) -> float:
        """Median residual norm at the output of block ``source``, without sinks and padding: the unit of relative R."""
        return self.slices.slice(self.model.get(stop), prompts, source, stop=stop).median_norm

    def suggestion(
        self,
        prompts: Sequence[Prompt] = (),
        source: int | None = None,
        target: int | None = None,
        stop: Stop = never,
    ) -> TrainingSuggestion:
        """Sensible settings for these prompts and the loaded model, and for these layers if given. Raises Stopped."""
        lm = self.model.get(stop)
        prompts = list(prompts) or [Prompt(EXAMPLE.user, template=lm.usual_template)]
        source, target = layers(len(lm.blocks), source, target)
        norm = self.median_norm(prompts, source, stop)
        radius = float(f"{RELATIVE_RADIUS * norm:.2g}")
        return TrainingSuggestion(source, target, default_scope(prompts), radius, radius / norm, norm)


def check_fits(bank: Bank, lm: "LanguageModel") -> None:
    """Raises InputError if a bank was made for another model than ``lm``."""
    name, record = bank.record.name, bank.record
    remedy = f"Load {record.model}, or choose another bank"
    if record.hidden_size != lm.hidden_size:
        raise InputError(
            "bank",
            f"“{name}” was made for {record.model} with hidden size {record.hidden_size}, but the loaded model "
            f"{lm.name} has {lm.hidden_size}",
            remedy,
        )
    if record.model_hash and record.model_hash != lm.weights_hash:
        raise InputError(
            "bank",
            f"“{name}” was made for other weights ({record.model}) than the loaded model {lm.name} has",
            remedy,
        )
    lm.block("source layer", record.source)
