"""What the stages of Explore do."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import TrainingSuggestion
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.explorations import ChosenRadius
from melbo_app.library.file_names import same_file
from melbo_app.library.generality import Generality
from melbo_app.library.searches import Search
from melbo_app.studies.calibrate import Calibrate, CalibratedRadius
from melbo_app.studies.curve import CURVE_DECODING, MeasureCurve
from melbo_app.studies.elsewhere import RANDOM, kind_of, other_prompts
from melbo_app.studies.generality import GeneralityProgress, MeasureGenerality, asked_prompts
from melbo_app.studies.judge import judgements
from melbo_app.studies.looks import Looks
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.settings_ladder import SearchProgress
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer
from melbo_app.studies.train import Train
from melbo_app.studies.trained_bank import is_of, training_identity
from melbo_app.studies.training_command import command

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.calibration import CalibrationProgress
    from melbo_app.engine.model import LanguageModel

LONGEST_SLUG = 40


@dataclass(frozen=True)
class Stages:
    """What the stages of one exploration do: computed, or looked up where that was done before."""

    bench: Bench
    lm: "LanguageModel"
    prompt: Prompt
    stop: Stop

    @property
    def model(self) -> tuple[str, str, str]:
        """Name, hash of the weights and dtype of the loaded model."""
        return self.lm.name, self.lm.weights_hash, str(self.lm.dtype).removeprefix("torch.")

    def suggestion(self, prompts: Sequence[Prompt], source: int | None, target: int | None) -> TrainingSuggestion:
        """Layers, scope and R to begin with."""
        return self.bench.suggestion(prompts, source, target, self.stop)

    def known_radius(self, config: TrainingConfig, how: str) -> ChosenRadius | None:
        """R as it was found before for the same prompt, layers and scope."""
        asked = PromptRecord.of(self.prompt)
        wanted = (asked, config.source, config.target, config.scope, self.model[2], how)
        for one in self.bench.explorations.of_model(self.lm.weights_hash):
            if (one.prompt, one.source, one.target, one.scope, one.dtype, one.radius.how) == wanted:
                return one.radius
        return None

    def calibrate(self, config: TrainingConfig) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
        """The R at which Δ leaves the linear regime."""
        study = Calibrate(prompts=[self.prompt], source=config.source, target=config.target, scope=config.scope)
        return study.run(self.bench, self.stop)

    def search(
        self, config: TrainingConfig, seconds: float, other_layers: bool
    ) -> Generator[SearchProgress, None, Search]:
        """R, the effect budget and, with ``other_layers``, layers, found by looking at short completions."""
        study = SearchSettings(prompts=[self.prompt], config=config, seconds=seconds, other_layers=other_layers)
        return study.run(self.bench, self.stop)

    def curve(self, config: TrainingConfig) -> Generator[Any, None, DiversityCurve]:
        """The diversity curve of one bank, rescaled."""
        study = MeasureCurve(prompts=[self.prompt], training=config, rescaled=True, decoding=CURVE_DECODING)
        return study.run(self.bench, self.stop)

    def train(self, config: TrainingConfig) -> Generator[Any, None, Bank]:
        """The bank, which is on the shelf."""
        facts = json.dumps(training_identity(self.lm, [self.prompt], config), sort_keys=True)
        name = f"{_slug(self.prompt.user)}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"
        taken = {same_file(line.name) for line in self.bench.banks.list()}
        for number in range(1, len(taken) + 2):
            one = name if number == 1 else f"{name}-{number}"
            if same_file(one) not in taken:
                break
            with suppress(InputError, StorageError):  # it cannot be read: train another one
                bank = self.bench.banks.load(one)
                whole = len(bank.vectors) == config.vectors and bank.record.whole
                if whole and is_of(bank.record, [self.prompt], config):
                    return bank
        if (kept := Looks.at(self.bench, [self.prompt], config, self.stop).making.kept(config)) is not None:
            asked = [prompt.asked for prompt in kept.record.prompts]
            again = command(self.bench.model.spec, asked, config, one)
            bank = replace(kept, record=kept.record.model_copy(update={"name": one, "command": again}))
            self.bench.banks.save(bank)
            return bank
        return (yield from Train(prompts=[self.prompt], config=config, name=one).run(self.bench, self.stop))

    def complete(self, bank: Bank, radius: float, decoding: Decoding) -> Generator[Any, None, Comparison]:
        """The unsteered text and those of all vectors, kept among the comparisons."""
        name, every = bank.record.name, range(len(bank.vectors))
        study = Steer(bank=name, prompts=[self.prompt], vectors=every, radii=[radius], decoding=decoding)
        return study.run(self.bench, self.stop)

    def control(self, config: TrainingConfig, radius: float, decoding: Decoding) -> Generator[Any, None, Comparison]:
        """The same for as many random vectors."""
        making = replace(Looks.at(self.bench, [self.prompt], config, self.stop).making, decoding=decoding)
        bank = yield from making.control(config.seed)  # the random vectors that a search looked at
        return (yield from making.complete(bank, radius))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Points [N, D] of texts."""
        return self.bench.embed(texts, self.stop)

    def elsewhere(
        self, bank: Bank, vectors: Sequence[int], radius: float, baseline: str, count: int, decoding: Decoding
    ) -> "Generator[GeneralityProgress, None, Generality | None]":
        """Answers of vectors to other prompts of the kind; None where there are none."""
        if not self.prompt.template:  # the sets are questions, and this prompt is the beginning of a text
            return None
        try:
            every = self.bench.prompt_sets.read_all([kind_of(self.prompt.user, baseline)])
        except InputError:  # the sets can be removed, and what was found so far is not lost with them
            return None
        chosen = other_prompts(every, self.prompt.user, count)
        study = MeasureGenerality(
            bank=bank.record.name, prompts=asked_prompts(chosen, self.prompt.system, True), vectors=vectors,
            radius=radius, random=RANDOM, decoding=decoding,
        )  # fmt: skip
        return (yield from study.run(self.bench, self.stop))

    def likeness(self, bank: Bank) -> np.ndarray:
        """Cosines [V, V] of what the vectors change."""
        study = Compare(bank=bank.record.name, prompts=[self.prompt], scope=bank.record.scope or "content")
        return result_of(study.run(self.bench, self.stop)).delta

    def judged(self, completions: Sequence[Completion]) -> dict[int, str]:
        """What a judge that is on has said is done in these texts, by their ids."""
        said = judgements(self.bench, completions)
        return {one.id: said[one.digest].behaviour for one in completions if one.id and one.digest in said}


def _slug(text: str) -> str:
    """The beginning of a prompt as a bank may be called."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words)[:LONGEST_SLUG].strip("-") or "explored"
