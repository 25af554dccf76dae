"""Train a bank of vectors."""

import itertools
import re
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, deaf
from melbo_app.engine.training_config import COUNTED_BY, TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.study import How, Made, ResumableStudy
from melbo_app.library.bank import Bank
from melbo_app.library.banks import check_name
from melbo_app.library.file_names import same_file
from melbo_app.limits import check_prompts
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.settings_ladder import searching
from melbo_app.studies.trained_bank import is_of, train_bank

MeasuredRadius = float | Literal["suggested"] | None


class Train(ResumableStudy[Bank]):
    """Train a bank and save it on the shelf. Stopping keeps the finished vectors.

    Slow preparations are left to the start of the training. A bank that cannot be saved stays in memory.

    Attributes:
        search_seconds: how long to search first for R and the effect budget, instead of the config's; None: no search.
        other_layers: whether that search may choose other layers than the config's.
        measured_radius: R as a multiple of the median norm of the prompts, or "suggested" by them, instead of the
            config's; None: use the config's.
    """

    kind: ClassVar[str] = "training"
    verb: ClassVar[str] = "train"
    how: ClassVar[How] = "training"
    doors = frozenset()
    makes_bank = True

    prompts: tuple[Prompt, ...]
    config: TrainingConfig
    name: str
    search_seconds: float | None = None
    other_layers: bool = False
    measured_radius: MeasuredRadius = None

    @field_validator("config", mode="before")
    @classmethod
    def _without_unused(cls, kept: Any) -> Any:
        """Drops options that the method does not use, which earlier versions accepted; the training is the same."""
        if not isinstance(kept, dict):
            return kept
        unused = {option for option, methods in COUNTED_BY.items() if kept.get("method") not in methods}
        unused |= set() if kept.get("agreement") else {"temperature", "agreement_form"}
        return {option: value for option, value in kept.items() if option not in unused}

    @property
    def title(self) -> str:
        return f"Training “{self.name}”"

    @property
    def bank_name(self) -> str:
        return self.name

    def renamed(self, bench: Bench, taken: Sequence[str]) -> Self:
        return self.model_copy(update={"name": _free_name(bench, self.name, taken)})

    def check(self, bench: Bench) -> None:
        check_prompts(self.prompts)
        if not self.prompts or not all(prompt.user.strip() for prompt in self.prompts):
            raise InputError("prompt", "it is empty", "Write a text for the model to answer")
        bench.banks.check_free(check_name(self.name))

    def made(self, result: Bank) -> Made:
        return Made(bank=result.record.name)

    def resume(
        self, bench: Bench, stop: Stop, checkpoint: Checkpointing | None
    ) -> Generator[TrainingProgress, None, Bank]:
        # a resumed training ignores stops here: it must reach the same settings first
        asked = deaf(stop) if checkpoint is not None and checkpoint.is_there else stop
        if not bench.model.state().loaded:
            yield TrainingProgress("loading the model", 0, 1, None)
        name, config = self.name, (yield from self._measured(bench, asked))
        if self.search_seconds is not None:  # looked up if the last server finished it
            seconds, free = self.search_seconds, self.other_layers
            study = SearchSettings.before(self.prompts, config, seconds, other_layers=free)
            study.check_model(bench)
            found = yield from map_progress(study.run(bench, asked), searching)
            config = after_search(config, found.best)
            yield self._note(f"R and effect budget: {found.reason}.")
        line = next((line for line in bench.banks.list() if same_file(line.name) == same_file(name)), None)
        if line is not None and line.record is not None and is_of(line.record, self.prompts, config):
            # the last server saved the bank, but ended before it could record that
            yield self._note("The bank was already saved.")
            if checkpoint is not None:
                checkpoint.remove()
            return bench.banks.load(line.name)
        if line is not None:
            name = _free_name(bench, name, ())
            yield self._note(f"Another bank has taken the name: this one is called “{name}”.")
        try:
            bank = yield from self._train(bench, config, name, stop, checkpoint)
        except GeneratorExit:  # closed in the middle: the next server resumes it
            if checkpoint is not None:
                checkpoint.write()
            raise
        except BaseException:
            if checkpoint is not None:
                checkpoint.remove()
            raise
        if checkpoint is not None:
            checkpoint.remove()
        return bank

    def _measured(self, bench: Bench, stop: Stop) -> Generator[TrainingProgress, None, TrainingConfig]:
        """``config`` with the R that depends on its prompts. Raises Stopped."""
        config, measured = self.config, self.measured_radius
        if measured is None:
            return config
        yield TrainingProgress("measuring the median norm of the prompts", 0, config.total_steps, None)
        found = bench.suggestion(self.prompts, config.source, config.target, stop)
        radius = found.radius if measured == "suggested" else measured * found.median_norm
        return replace(config, radius=radius)

    def _train(
        self, bench: Bench, config: TrainingConfig, name: str, stop: Stop, checkpoint: Checkpointing | None
    ) -> Generator[TrainingProgress, None, Bank]:
        lm, spec, memory_gb = bench.model.get(stop), bench.model.spec, bench.model.memory_gb
        work = train_bank(
            lm, spec, self.prompts, config, name, memory_gb, bench.compute.giving_way(stop), checkpoint
        )  # fmt: skip
        bank = yield from bench.compute.steps(work, short=False)
        try:
            bench.banks.save(bank)
        except MelboError:
            bench.unsaved.append(bank)
            raise
        return bank

    def _note(self, text: str) -> TrainingProgress:
        return TrainingProgress("starting", 0, self.config.total_steps, None, note=text)


def _free_name(bench: Bench, name: str, taken: Sequence[str]) -> str:
    """The name, with a number appended if it is not free; ``taken`` are names used besides those of banks."""
    used = {same_file(line.name) for line in bench.banks.list()} | {same_file(one) for one in taken}
    stem = re.sub(r"-\d+$", "", name)[:70]
    names = itertools.chain([name], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(one for one in names if same_file(one) not in used)
