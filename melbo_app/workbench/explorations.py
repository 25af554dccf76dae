"""Use cases of Explore: from a prompt to its behaviours, stage by stage."""

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
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.calibration import CalibratedRadius
from melbo_app.jobs.elsewhere import RANDOM, kind_of, other_prompts
from melbo_app.jobs.exploring import ExploreProgress, check_settings, explore
from melbo_app.jobs.generality import GeneralityProgress
from melbo_app.jobs.job import Job
from melbo_app.jobs.mapping import embed
from melbo_app.jobs.request import ExploreRequest
from melbo_app.jobs.search import SearchProgress
from melbo_app.jobs.training import TrainingSuggestion, command, is_of, training_identity
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.damage import Listed
from melbo_app.library.explorations import ChosenRadius, Exploration, ExploreSettings
from melbo_app.library.file_names import same_file
from melbo_app.library.generality import Generality
from melbo_app.library.searches import Search
from melbo_app.workbench.base import HERE, Stop
from melbo_app.workbench.exploring import CURVE_DECODING, Exploring
from melbo_app.workbench.generality import Generalising
from melbo_app.workbench.judging import Judging
from melbo_app.workbench.layers import Layers
from melbo_app.workbench.searching import Searching
from melbo_app.workbench.steering import Steering
from melbo_app.workbench.training import Training

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.calibration import CalibrationProgress
    from melbo_app.engine.model import LanguageModel

LONGEST_SLUG = 40


class Explorations(Judging, Training, Steering, Layers, Exploring, Searching, Generalising):
    """One press of Explore."""

    def explore(
        self, prompt: Prompt, settings: ExploreSettings | None = None, *, stop: Stop = lambda: False
    ) -> Generator[ExploreProgress, None, Exploration]:
        """Choose R, train, complete, embed, cluster and summarise, and keep what came of it.

        The bank comes on the shelf, the texts into the history. What was done before with the same settings is looked
        up. Raises Stopped where it was stopped: the bank and the texts that were finished are kept.
        """
        wanted = settings or ExploreSettings()
        check_settings(wanted)
        lm = self._model.get()
        found = yield from explore(prompt, wanted, _Stages(self, lm, prompt, stop), stop)
        self._explorations.keep(found)
        if min(found.comparison, found.control_comparison) < 0:
            self._unnumbered.add(found.key)
        return found

    def start_exploring(
        self, prompt: Prompt, settings: ExploreSettings, *, who: str = HERE
    ) -> Job[ExploreProgress, Exploration]:
        """The same in the background, for the loaded model."""
        check_settings(settings)
        self._model.get()
        request = ExploreRequest(
            prompt=prompt,
            settings=settings,
            model=self._model.spec,
            model_hash=self._model.state().weights_hash,
        )
        return self._desk.start(request, who)

    def explorations(self) -> Listed[Exploration]:
        """Those of the loaded model, the newest first; none where no model is loaded."""
        state = self._model.state()
        return self._explorations.of_model(state.weights_hash) if state.weights_hash else Listed()

    def exploration(self, key: str) -> Exploration:
        """One of them. Raises InputError for an unknown one."""
        found = self._explorations.find(key)
        if found is None:
            raise InputError("exploration", "it is no longer there", "Press Explore again")
        return found


@dataclass(frozen=True)
class _Stages:
    """The stages of one exploration, done by a workbench."""

    bench: Explorations
    lm: "LanguageModel"
    prompt: Prompt
    stop: Stop

    @property
    def model(self) -> tuple[str, str, str]:
        return self.lm.name, self.lm.weights_hash, str(self.lm.dtype).removeprefix("torch.")

    def suggestion(self, prompts: Sequence[Prompt], source: int | None, target: int | None) -> TrainingSuggestion:
        return self.bench.suggestion(prompts, source, target, stop=self.stop)

    def known_radius(self, config: TrainingConfig, how: str) -> ChosenRadius | None:
        asked = PromptRecord.of(self.prompt)
        wanted = (asked, config.source, config.target, config.scope, self.model[2], how)
        for one in self.bench.explorations():
            if (one.prompt, one.source, one.target, one.scope, one.dtype, one.radius.how) == wanted:
                return one.radius
        return None

    def calibrate(self, config: TrainingConfig) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
        return self.bench.calibrate([self.prompt], config.source, config.target, config.scope, stop=self.stop)

    def search(
        self, config: TrainingConfig, seconds: float, other_layers: bool
    ) -> Generator[SearchProgress, None, Search]:
        return self.bench.find_settings(
            [self.prompt], config, seconds=seconds, other_layers=other_layers, stop=self.stop
        )

    def curve(self, config: TrainingConfig) -> Generator[Any, None, DiversityCurve]:
        return self.bench.diversity_curve([self.prompt], config, rescaled=True, decoding=CURVE_DECODING, stop=self.stop)

    def train(self, config: TrainingConfig) -> Generator[Any, None, Bank]:
        facts = json.dumps(training_identity(self.lm, [self.prompt], config), sort_keys=True)
        name = f"{_slug(self.prompt.user)}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"
        taken = {same_file(line.name) for line in self.bench.banks()}
        for number in range(1, len(taken) + 2):
            one = name if number == 1 else f"{name}-{number}"
            if same_file(one) not in taken:
                break
            with suppress(InputError, StorageError):  # it cannot be read: train another one
                bank = self.bench.bank(one)
                whole = len(bank.vectors) == config.vectors and bank.record.whole
                if whole and is_of(bank.record, [self.prompt], config):
                    return bank
        if (kept := self.bench._looks(self.lm, [self.prompt], config, self.stop).making.kept(config)) is not None:
            asked = [prompt.asked for prompt in kept.record.prompts]
            again = command(self.bench._model.spec, asked, config, one)
            bank = replace(kept, record=kept.record.model_copy(update={"name": one, "command": again}))
            self.bench._banks.save(bank)
            return bank
        return (yield from self.bench.train([self.prompt], config, one, stop=self.stop))

    def complete(self, bank: Bank, radius: float, decoding: Decoding) -> Generator[Any, None, Comparison]:
        every = range(len(bank.vectors))
        return self.bench.steer(bank.record.name, [self.prompt], every, [radius], decoding, stop=self.stop)

    def control(self, config: TrainingConfig, radius: float, decoding: Decoding) -> Generator[Any, None, Comparison]:
        looks = self.bench._looks(self.lm, [self.prompt], config, self.stop)
        making = replace(looks.making, decoding=decoding)
        bank = yield from making.control(config.seed)  # the random vectors that a search looked at
        return (yield from making.complete(bank, radius))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        bench = self.bench
        with bench._compute.hold():
            return embed(texts, bench._embed(), bench._embeddings, bench._compute.giving_way(self.stop))

    def elsewhere(
        self, bank: Bank, vectors: Sequence[int], radius: float, baseline: str, count: int, decoding: Decoding
    ) -> "Generator[GeneralityProgress, None, Generality | None]":
        if not self.prompt.template:  # the sets are questions, and this prompt is the beginning of a text
            return None
        try:
            every = self.bench.prompt_set([kind_of(self.prompt.user, baseline)])
        except InputError:  # the sets can be removed, and what was found so far is not lost with them
            return None
        chosen = other_prompts(every, self.prompt.user, count)
        asked = self.bench.asked(chosen, self.prompt.system, True)
        return (
            yield from self.bench.generality(
                bank.record.name, asked, vectors, radius, random=RANDOM, decoding=decoding, stop=self.stop
            )
        )

    def likeness(self, bank: Bank) -> np.ndarray:
        scope = bank.record.scope or "content"
        return self.bench.similarity(bank.record.name, [self.prompt], scope, stop=self.stop).delta

    def judged(self, completions: Sequence[Completion]) -> dict[int, str]:
        said = self.bench.judgements(completions)
        return {one.id: said[one.digest].behaviour for one in completions if one.id and one.digest in said}


def _slug(text: str) -> str:
    """The beginning of a prompt as a bank may be called."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words)[:LONGEST_SLUG].strip("-") or "explored"
