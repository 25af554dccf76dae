"""Verbs about trainings and other jobs, which run in the background."""

from melbo_app import listings
from melbo_app.defaults import OpenTraining, check_texts, prompts_from
from melbo_app.engine.training_config import AgreementForm, Method, Start
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.studies.as_json import plain
from melbo_app.studies.train import Train
from melbo_app.ui.leaving import leaving
from melbo_app.ui.verbs.study_verb import WHO
from melbo_app.workbench import Workbench


class TrainingVerbs:
    """Training, and the jobs of the server."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def train(
        self,
        name: str,
        prompts: list[str],
        system: str | None = None,
        template: bool | str | None = None,
        source: int | None = None,
        target: int | None = None,
        scope: str | None = None,
        radius: float | None = None,
        relative_radius: float | None = None,
        vectors: int | None = None,
        method: Method = "joint",
        steps: int | None = None,
        start: Start = "random",
        against: list[str] | None = None,
        held_out: list[str] | None = None,
        p: float = 2.0,
        q: float | None = None,
        saturation: float | None = None,
        orthogonality: float = 1.0,
        agreement: float = 0.0,
        agreement_form: AgreementForm = "numerator",
        temperature: float = 0.5,
        seed: int = 0,
    ) -> listings.JobLine:
        """Start to train a bank of steering vectors on prompts, and return at once. The job runs in the background.

        Args:
            name: name of the bank: 1 to 80 letters, digits, blanks and - _ .
            prompts: user texts to train on
            system: system text for all of them
            template: the model's chat template, true, false or as --template has it; left out: where it has one
            source: block, from 0, to whose output vectors are added; left out: 7 of 30, the same share of other models
            target: block, from 0, at whose output the change is measured; left out: 21 of 30
            scope: tokens that count: all, content, assistant or last:4; left out: assistant, last:4 without template
            radius: R, the norm of the vectors; left out: found by short completions, together with saturation
            relative_radius: R as a multiple of the median residual norm, in place of radius
            vectors: how many; left out: 8, or as many as the method can find
            method: method of training; docs/methods.md describes each
            steps: most steps (for sequential: of each vector); left out: the method's own
            start: first vectors of joint, sequential, transcoding and the soft methods
            against: user texts of the other side, for difference-of-means and contrast-pca
            held_out: user texts to measure the vectors on, kept out of training
            p: power of the token norms in the objective
            q: root of their sum; left out: p
            saturation: effect budget: share of a target token's norm at which its change counts most; 0: no limit
            orthogonality: weight of the soft methods' penalty on cosines
            agreement: weight of having the same effect on all prompts; 0: none; joint, sequential, soft methods
            agreement_form: whether other vectors count against it; with agreement
            temperature: τ of agreement; with agreement
            seed: of all random numbers
        Returns:
            the job: id (for `job` and `stop_job`), state, place in the queue, progress, log, bank, error …
        """
        wanted = OpenTraining(source, target, radius, relative_radius, scope)
        draft = wanted.draft(
            method, vectors, against or [], steps=steps, start=start, p=p, q=q, saturation=saturation,
            orthogonality=orthogonality, agreement=agreement, agreement_form=agreement_form, temperature=temperature,
            seed=seed,
        )  # fmt: skip
        check_texts(prompts)
        self._workbench.check_bank_name(name)
        asked = prompts_from(prompts, system, template, bool(self._workbench.load_model(stop=leaving()).has_template))
        config = wanted.fill(self._workbench, draft, asked, held_out or [])
        seconds = SEARCH_SECONDS if wanted.searches(draft) else None
        free = wanted.layers_free
        study = Train(
            prompts=asked, config=config, name=name, search_seconds=seconds, other_layers=free,
            measured_radius=wanted.measured(draft),
        )  # fmt: skip
        return plain(self._workbench.start(study, who=WHO).record())

    def jobs(self, limit: int = 100) -> listings.JobLines:
        """The jobs of the server, whoever started them, newest first: trainings, maps and sweeps.

        Args:
            limit: how many, the newest ones
        Returns:
            jobs: id, kind, title, state, progress (stage, done, total, seconds_left), log, who, bank, error … of each
            damaged: a sentence for each job that cannot be read
        """
        return listings.job_lines(self._workbench.jobs(limit))

    def job(self, id: int) -> listings.JobLine:
        """The state of a job.

        Args:
            id: its id, from `train` or `jobs`
        Returns:
            id, title, state (waiting, running, stopping, done, stopped, failed or interrupted), progress, log, bank …
        """
        return plain(self._workbench.job(id))

    def stop_job(self, id: int) -> listings.JobLine:
        """Ask a job to stop, keeping what is finished, or take it out of the queue.

        Args:
            id: its id, from `train` or `jobs`
        Returns:
            the job as it is then
        """
        return plain(self._workbench.stop_job(id))
