"""Use cases of training, and of the jobs of the server."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, Literal

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.job import Job
from melbo_app.jobs.request import AtlasRequest, MapRequest, SweepRequest, TrainingRequest
from melbo_app.jobs.training import train_bank
from melbo_app.library.bank import Bank
from melbo_app.library.banks import check_name
from melbo_app.library.damage import Listed
from melbo_app.library.job_records import JobKind, JobRecord
from melbo_app.limits import MOST_LISTED, check_range
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import HERE, Stop

MeasuredRadius = float | Literal["suggested"] | None


class Training(Shelf):
    """Trainings, and the queue of jobs."""

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
        asked = self._compute.giving_way(stop)
        work = train_bank(lm, self._model.spec, prompts, config, name, self._model.memory_gb, asked, checkpoint)
        bank = yield from self._compute.steps(work, short=False)
        try:
            self._banks.save(bank)
        except MelboError:
            self._unsaved.append(bank)
            raise
        return bank

    def start_training(
        self,
        prompts: Sequence[Prompt],
        config: TrainingConfig,
        name: str,
        *,
        search_seconds: float | None = None,
        other_layers: bool = False,
        measured_radius: MeasuredRadius = None,
        who: str = HERE,
    ) -> Job[TrainingProgress, Bank]:
        """Train in the background, after the trainings that were asked for before. What takes time to find out is found
        out there: what is wrong with it fails the job.

        With ``search_seconds``, R and the effect budget are looked for first, for as long; those of ``config`` do not
        count, nor do its layers with ``other_layers``, where other ones serve better. With ``measured_radius`` R is
        this multiple of the prompts' median norm, or what is suggested for them.
        """
        if not prompts or not all(prompt.user.strip() for prompt in prompts):
            raise InputError("prompt", "it is empty", "Write a text for the model to answer")
        asked = TrainingRequest(
            prompts=tuple(prompts),
            config=config,
            name=check_name(name),
            search_seconds=search_seconds,
            other_layers=other_layers,
            measured_radius=measured_radius,
            model=self._model.spec,
            model_hash=self._model.state().weights_hash,
        )
        return self._desk.start(asked, who)

    def with_radius(
        self, prompts: Sequence[Prompt], config: TrainingConfig, measured: MeasuredRadius, *, stop: Stop = lambda: False
    ) -> Generator[TrainingProgress, None, TrainingConfig]:
        """``config`` with an R that its prompts have to be read for; None: its own. Raises Stopped."""
        if measured is None:
            return config
        yield TrainingProgress("measuring the median norm of the prompts", 0, config.total_steps, None)
        found = self.suggestion(prompts, config.source, config.target, stop=stop)
        radius = found.radius if measured == "suggested" else measured * found.median_norm
        return replace(config, radius=radius)

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

    def start_job(self, request: MapRequest | SweepRequest | AtlasRequest, *, who: str = HERE) -> Job[Any, Any]:
        """Draw a map, sweep over many R or measure layers in the background, ahead of trainings; their results are
        ``Map | None``, ``Comparison`` and ``Atlas``."""
        return self._desk.start(request, who)

    def jobs(self, limit: int = 100) -> Listed[JobRecord]:
        """The last jobs of everybody, newest first, as they are now."""
        check_range("limit", limit, 1, MOST_LISTED)
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
