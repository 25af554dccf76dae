"""The work of the stages of Explore that another study alone does not do."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.progress import Progress
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.explorations import ChosenRadius
from melbo_app.library.file_names import same_file
from melbo_app.library.generality import Generality
from melbo_app.studies.elsewhere import RANDOM, kind_of, other_prompts
from melbo_app.studies.generality import MeasureGenerality, asked_prompts
from melbo_app.studies.judge import judgements
from melbo_app.studies.looks import Looks
from melbo_app.studies.similarity import Compare
from melbo_app.studies.train import Train
from melbo_app.studies.trained_bank import is_of, training_identity
from melbo_app.studies.training_command import command

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

LONGEST_SLUG = 40


@dataclass(frozen=True)
class Stages:
    """The stages of one exploration; earlier results are looked up."""

    bench: Bench
    lm: "LanguageModel"
    prompt: Prompt
    stop: Stop

    @property
    def dtype(self) -> str:
        """The precision of the loaded model."""
        return str(self.lm.dtype).removeprefix("torch.")

    def known_radius(self, config: TrainingConfig, how: str) -> ChosenRadius | None:
        """The R found earlier for the same prompt, layers and scope; None if there is none."""
        asked = PromptRecord.of(self.prompt)
        wanted = (asked, config.source, config.target, config.scope, self.dtype, how)
        for one in self.bench.explorations.of_model(self.lm.weights_hash):
            if (one.prompt, one.source, one.target, one.scope, one.dtype, one.radius.how) == wanted:
                return one.radius
        return None

    def train(self, config: TrainingConfig) -> Generator[Any, None, Bank]:
        """The bank, saved on the shelf."""
        facts = json.dumps(training_identity(self.lm, [self.prompt], config), sort_keys=True)
        name = f"{slug(self.prompt.user)}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"
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

    def control(self, config: TrainingConfig, decoding: Decoding) -> Generator[Any, None, Comparison]:
        """The texts under as many random vectors, the ones that a search looked at."""
        making = replace(Looks.at(self.bench, [self.prompt], config, self.stop).making, decoding=decoding)
        bank = yield from making.control(config.seed)
        return (yield from making.complete(bank, config.radius))

    def elsewhere(
        self, bank: Bank, vectors: Sequence[int], radius: float, baseline: str, count: int, decoding: Decoding
    ) -> Generator[Progress, None, Generality | None]:
        """Answers of vectors to other prompts of the same kind; None if there are no such prompts."""
        if not self.prompt.template:  # the sets are questions, and this prompt is the beginning of a text
            return None
        try:
            every = self.bench.prompt_sets.read_all([kind_of(self.prompt.user, baseline)])
        except InputError:  # the sets may have been removed; the findings so far should not be lost with them
            return None
        chosen = other_prompts(every, self.prompt.user, count)
        study = MeasureGenerality(
            bank=bank.record.name, prompts=asked_prompts(chosen, self.prompt.system, True), vectors=vectors,
            radius=radius, random=RANDOM, decoding=decoding,
        )  # fmt: skip
        return (yield from study.run(self.bench, self.stop))

    def likeness(self, bank: Bank) -> np.ndarray:
        """Cosines [V, V] of the changes that the vectors make."""
        study = Compare(bank=bank.record.name, prompts=[self.prompt], scope=bank.record.scope or "content")
        return result_of(study.run(self.bench, self.stop)).delta

    def judged(self, completions: Sequence[Completion]) -> dict[int, str]:
        """The behaviours that an active judge has named in these texts, by the texts' ids."""
        said = judgements(self.bench, completions)
        return {one.id: said[one.digest].behaviour for one in completions if one.id and one.digest in said}


def slug(text: str) -> str:
    """The beginning of a prompt as a bank name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words)[:LONGEST_SLUG].strip("-") or "explored"
