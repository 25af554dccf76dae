"""Where jobs are asked for: what a request becomes, and what is refused before it waits in the queue."""

import itertools
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import deaf
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError
from melbo_app.jobs.atlas import AtlasProgress
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.diversity_curve import CurveProgress
from melbo_app.jobs.exploring import ExploreProgress
from melbo_app.jobs.generality import GeneralityProgress
from melbo_app.jobs.job import Job
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.mapping import Map, MapProgress
from melbo_app.jobs.queue import JobQueue
from melbo_app.jobs.request import (
    AtlasRequest,
    CurveRequest,
    ExploreRequest,
    GeneralityRequest,
    MapRequest,
    Request,
    SweepRequest,
    TrainingRequest,
    read_request,
)
from melbo_app.jobs.search import SearchProgress, searching
from melbo_app.jobs.steering import SteeringProgress, Variant, variants
from melbo_app.jobs.sweep import memory_note, sweep
from melbo_app.jobs.training import is_of
from melbo_app.jobs.work import retold
from melbo_app.library.atlases import Atlas
from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks, check_name
from melbo_app.library.checkpoints import Checkpoints
from melbo_app.library.comparison_settings import ComparisonKind
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.explorations import Exploration, ExploreSettings
from melbo_app.library.file_names import same_file
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.library.job_records import JobRecords
from melbo_app.library.searches import Search
from melbo_app.limits import MOST_MAPPED, MOST_TEXTS, check_prompts, check_texts

Stop = Callable[[], bool]
_OF_BANK = MapRequest | SweepRequest | GeneralityRequest
"""Requests that name no model: their bank does."""


class Doing(Protocol):
    """Who can do what is asked for: the workbench."""

    def train(
        self, prompts: Sequence[Prompt], config: TrainingConfig, name: str, *, stop: Stop, checkpoint: Checkpointing
    ) -> Generator[TrainingProgress, None, Bank]: ...

    def with_radius(
        self, prompts: Sequence[Prompt], config: TrainingConfig, measured: Any, *, stop: Stop
    ) -> Generator[TrainingProgress, None, TrainingConfig]: ...

    def searched(
        self, prompts: Sequence[Prompt], config: TrainingConfig, seconds: float, *, other_layers: bool, stop: Stop
    ) -> Generator[SearchProgress, None, tuple[TrainingConfig, Search]]: ...

    def steer(
        self,
        bank: str,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        decoding: Decoding,
        *,
        random_control: bool,
        both_signs: bool,
        stop: Stop,
        kind: ComparisonKind,
    ) -> Generator[SteeringProgress, None, Comparison]: ...

    def keep_texts(
        self,
        completions: Sequence[Completion],
        bank: str,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float],
        decoding: Decoding,
        *,
        random_control: bool,
        both_signs: bool,
        kind: ComparisonKind,
        finished: bool,
    ) -> Comparison: ...

    def map(
        self,
        bank: str,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        decoding: Decoding,
        *,
        random_control: bool,
        stop: Stop,
    ) -> Generator[MapProgress, None, Map | None]: ...

    def atlas(
        self,
        prompts: Sequence[Prompt],
        sources: Sequence[int],
        targets: Sequence[int],
        read: Sequence[tuple[int, int]] | None,
        scope: str,
        *,
        stop: Stop,
    ) -> Generator[AtlasProgress, None, Atlas]: ...

    def diversity_curve(
        self,
        prompts: Sequence[Prompt],
        training: TrainingConfig | None,
        *,
        bank: str | None,
        rescaled: bool,
        relative_radii: Sequence[float],
        vectors: int,
        seeds: int,
        decoding: Decoding,
        stop: Stop,
    ) -> Generator[CurveProgress, None, DiversityCurve]: ...

    def explore(
        self, prompt: Prompt, settings: ExploreSettings, *, stop: Stop
    ) -> Generator[ExploreProgress, None, Exploration]: ...

    def generality(
        self,
        bank: str,
        prompts: Sequence[AskedPrompt],
        vectors: Sequence[int],
        radius: float | None,
        *,
        random: int,
        decoding: Decoding,
        stop: Stop,
    ) -> Generator[GeneralityProgress, None, Generality]: ...


class JobDesk:
    """Takes requests and puts them into the queue."""

    def __init__(
        self, records: JobRecords, checkpoints: Checkpoints, model: LoadedModel, banks: Banks, doing: Doing
    ) -> None:
        self.queue = JobQueue(records, self._work)
        self._checkpoints, self._model, self._banks, self._doing = checkpoints, model, banks, doing

    def start(self, request: Request, who: str) -> Job[Any, Any]:
        """A new job. Raises InputError where the name of a training cannot be used or is taken."""
        if isinstance(request, MapRequest | SweepRequest):  # refused now, not in the background
            check_prompts(request.prompts)
            most = MOST_MAPPED if isinstance(request, MapRequest) else MOST_TEXTS
            check_texts(len(request.prompts), len(self._rows(request)), most)
        if isinstance(request, TrainingRequest):
            check_prompts(request.prompts)
            self._banks.check_free(check_name(request.name))
            for job in self.queue.active("training"):
                if same_file(job.record().request["name"]) == same_file(request.name):
                    raise InputError("name", f"{job.title} is under way or waits", "Choose another name")
        return self.queue.add(request, who)

    def again(self, id: int, who: str) -> Job[Any, Any]:
        """Go on with a job that was interrupted; or do again what another one did, a training under a free name."""
        record = self.queue.record(id)
        if self.queue.find(id) is not None:
            raise InputError("job", f"“{record.title}” is not over", "Wait for it, or stop it first")
        request = read_request(record.request)
        if not isinstance(request, _OF_BANK) and not self._fits(request):
            raise InputError("model", f"“{record.title}” is for {request.model}", "Load that model first")
        if record.state == "interrupted":
            return self.queue.go_on(id)
        if isinstance(request, TrainingRequest):
            request = request.model_copy(update={"name": self._free_name(request.name)})
        return self.start(request, who)

    def resume(self) -> None:
        """Go on with what the last server left behind."""
        self._checkpoints.keep_only(self.queue.resume(self._fits))

    def _work(self, request: Request, job: Job[Any, Any]) -> Generator[Any, None, Any]:
        if isinstance(request, TrainingRequest):
            return self._train(request, job)
        if isinstance(request, AtlasRequest):
            asked = (request.prompts, request.sources, request.targets, request.read, request.scope)
            return self._doing.atlas(*asked, stop=job.is_stopping)
        if isinstance(request, CurveRequest):
            return self._doing.diversity_curve(
                request.prompts, request.training, bank=request.bank, rescaled=request.rescaled,
                relative_radii=request.relative_radii, vectors=request.vectors, seeds=request.seeds,
                decoding=request.decoding, stop=job.is_stopping,
            )  # fmt: skip
        if isinstance(request, ExploreRequest):
            return self._doing.explore(request.prompt, request.settings, stop=job.is_stopping)
        if isinstance(request, GeneralityRequest):
            return self._doing.generality(
                request.bank, request.prompts, request.vectors, request.radius, random=request.random,
                decoding=request.decoding, stop=job.is_stopping,
            )  # fmt: skip
        return self._map(request, job) if isinstance(request, MapRequest) else self._sweep(request, job)

    def _map(self, request: MapRequest, job: Job[Any, Any]) -> Generator[MapProgress, None, Map | None]:
        asked = (request.bank, request.prompts, request.vectors, request.radii, request.decoding)
        yield from self._need(request, job)
        work = self._doing.map(*asked, random_control=request.random_control, stop=job.is_stopping)
        return (yield from work)

    def _sweep(self, request: SweepRequest, job: Job[Any, Any]) -> Generator[MapProgress, None, Comparison]:
        asked, control, both = (request.prompts, request.vectors), request.random_control, request.both_signs

        def part(radius: float) -> Generator[SteeringProgress, None, Comparison]:
            return self._doing.steer(
                request.bank, *asked, [radius], request.decoding, kind="part", stop=job.is_stopping,
                random_control=control, both_signs=both,
            )  # fmt: skip

        def keep(texts: Sequence[Completion], whole: bool) -> Comparison:
            return self._doing.keep_texts(
                texts, request.bank, *asked, request.radii, request.decoding, kind="sweep", finished=whole,
                random_control=control, both_signs=both,
            )  # fmt: skip

        yield from self._need(request, job)
        return (yield from sweep(request.radii, part, keep, job.is_stopping))

    def _need(self, request: MapRequest | SweepRequest, job: Job[Any, Any]) -> Generator[MapProgress, None, None]:
        """What it needs of the memory, said before it begins. Raises InputError where that is too much."""
        yield MapProgress("reading the prompts", 0, 1)
        texts, lm = len(request.prompts) * len(self._rows(request)), self._model.get()
        note = memory_note(lm, request.prompts, texts, request.decoding, self._model.memory_gb, job.is_stopping)
        yield MapProgress("starting", 0, 1, note)

    def _rows(self, request: MapRequest | SweepRequest) -> list[Variant]:
        return variants(
            self._banks.load(request.bank), request.vectors, request.radii, random_control=request.random_control,
            both_signs=isinstance(request, SweepRequest) and request.both_signs,
        )  # fmt: skip

    def _train(self, request: TrainingRequest, job: Job[Any, Any]) -> Generator[TrainingProgress, None, Bank]:
        checkpoint, name, config = Checkpointing(self._checkpoints, job.id, job.say), request.name, request.config
        # what was found before is found again, so that a training that goes on is the same one
        stop = deaf(job.is_stopping) if checkpoint.is_there else job.is_stopping
        config = yield from self._doing.with_radius(request.prompts, config, request.measured_radius, stop=stop)
        if request.search_seconds is not None:  # which is looked up where the last server ended after it
            work = self._doing.searched(
                request.prompts, config, request.search_seconds, other_layers=request.other_layers, stop=stop
            )
            config, found = yield from retold(work, searching)
            job.say(f"R and effect budget: {found.reason}.")
        line = next((line for line in self._banks.list() if same_file(line.name) == same_file(name)), None)
        if line is not None and line.record is not None and is_of(line.record, request.prompts, config):
            job.say("Its bank was saved already.")  # and then the last server ended, before it could note that down
            checkpoint.remove()
            return self._banks.load(line.name)
        if line is not None:
            name = self._free_name(name)
            job.say(f"There is another bank of its name by now: this one is called “{name}”.")
        try:
            bank = yield from self._doing.train(
                request.prompts, config, name, stop=job.is_stopping, checkpoint=checkpoint
            )
        except GeneratorExit:  # closed in the middle: the next server goes on
            checkpoint.write()
            raise
        except BaseException:
            checkpoint.remove()
            raise
        checkpoint.remove()
        return bank

    def _fits(self, request: Request) -> bool:
        """Whether the loaded model is the one that a job is for. A bank says itself for which one it is."""
        if isinstance(request, _OF_BANK):
            return True
        return self._model.is_meant(request.model, request.model_hash)

    def _free_name(self, name: str) -> str:
        """The name itself, or with the first number behind it that is free."""
        taken = {same_file(line.name) for line in self._banks.list()}
        taken |= {same_file(job.record().request["name"]) for job in self.queue.active("training")}
        stem = re.sub(r"-\d+$", "", name)[:70]
        names = itertools.chain([name], (f"{stem}-{number}" for number in itertools.count(2)))
        return next(one for one in names if same_file(one) not in taken)
