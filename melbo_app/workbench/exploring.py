"""Use cases of exploring: what to choose before training."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.curve_making import CurveMaking
from melbo_app.jobs.diversity_curve import CurveProgress, check_grid, default_radii, diversity_curve
from melbo_app.jobs.job import Job
from melbo_app.jobs.request import CurveRequest
from melbo_app.jobs.training import default_scope
from melbo_app.library.bank import PromptRecord
from melbo_app.library.curves import KeptCurve
from melbo_app.limits import check_prompts, check_texts
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import HERE, Stop

CURVE_VECTORS, CURVE_STEPS = 4, 12
CURVE_DECODING = Decoding(max_new_tokens=24)


class Exploring(Shelf):
    """Diversity curves."""

    # --- diversity curve ----------------------------------------------------------------------------------------------

    def diversity_curve(
        self,
        prompts: Sequence[Prompt],
        training: TrainingConfig | None = None,
        *,
        bank: str | None = None,
        rescaled: bool = False,
        relative_radii: Sequence[float] | None = None,
        vectors: int = CURVE_VECTORS,
        seeds: int = 1,
        decoding: Decoding = CURVE_DECODING,
        stop: Stop = lambda: False,
    ) -> Generator[CurveProgress, None, DiversityCurve]:
        """How diverse and how readable completions are over a grid of R, beside random vectors of the same R.

        At each R vectors are trained anew; or, ``rescaled``, one bank is trained and used at every R; or the first
        vectors of ``bank`` are. Everything is looked up that was made before, and nothing comes on the shelf. Stopping
        keeps the points that are there, and each of them is kept for ``latest_curve`` as soon as it is.

        Args:
            training: what to train, but for R and the number of vectors; None: 12 joint steps, with the layers and the
                scope that are suggested.
            relative_radii: multiples of the median norm; None: 8 of them from 0.02 to 0.3.
            seeds: as many curves, from the training's seed on, whose points are put together.

        Raises:
            Stopped: a stop came before the first point.
        """
        radii = self._check_curve(relative_radii, bank, seeds)
        lm = self._model.get()
        loaded = None if bank is None else self._bank_for(lm, bank)
        if loaded is not None:
            record = loaded.record
            suggested = self.suggestion(prompts, record.source, record.target, stop=stop)
            count = min(vectors, len(loaded.vectors))
        else:
            layers = (None, None) if training is None else (training.source, training.target)
            suggested, count = self.suggestion(prompts, *layers, stop=stop), vectors
        config = TrainingConfig(
            suggested.source, suggested.target, suggested.radius, steps=CURVE_STEPS, scope=suggested.scope
        )
        if training is not None and loaded is None:
            config = replace(training, source=suggested.source, target=suggested.target)
        config = replace(config, vectors=count)
        making = CurveMaking(
            lm, self._model.spec, prompts, config, suggested.median_norm, loaded, rescaled, decoding, self._parts,
            self._completions, self._embed(), self._embeddings, self._batching, stop,
        )  # fmt: skip
        empty = DiversityCurve(
            how="rescaled" if rescaled or loaded else "trained",
            bank=bank,
            source=config.source,
            target=config.target,
            scope=config.scope,
            median_norm=suggested.median_norm,
            seeds=tuple(range(config.seed, config.seed + seeds)),
            points=(),
            finished=False,
        )
        records = tuple(map(PromptRecord.of, prompts))

        def keep(curve: DiversityCurve) -> None:
            self._curves.keep(
                KeptCurve(model_hash=lm.weights_hash, prompts=records, curve=curve, changed=datetime.now(UTC))
            )

        return (yield from diversity_curve(empty, radii, making, keep, stop))

    def start_curve(
        self,
        prompts: Sequence[Prompt],
        source: int | None = None,
        target: int | None = None,
        scope: str | None = None,
        *,
        bank: str | None = None,
        rescaled: bool = False,
        relative_radii: Sequence[float] | None = None,
        vectors: int = CURVE_VECTORS,
        seeds: int = 1,
        decoding: Decoding = CURVE_DECODING,
        who: str = HERE,
    ) -> Job[CurveProgress, DiversityCurve]:
        """The same in the background, for the loaded model; layers and scope left out are those that are suggested, and
        a bank has its own. What cannot be measured is refused at once."""
        radii = self._check_curve(relative_radii, bank, seeds)
        if vectors < 2:
            raise InputError("vectors", f"needs at least 2, not {vectors}", "4 usually works")
        lm = self._model.get()
        if bank is not None:
            self._bank_for(lm, bank)
        check_prompts(prompts)
        check_texts(len(prompts), 2 * vectors * len(radii) * seeds)
        source, target = self.layers(source, target)
        training = TrainingConfig(  # its R does not count
            source, target, 1.0, vectors, steps=CURVE_STEPS, scope=scope or default_scope(prompts)
        )
        request = CurveRequest(
            prompts=tuple(prompts),
            training=None if bank else training,
            bank=bank,
            rescaled=rescaled,
            relative_radii=radii,
            vectors=vectors,
            seeds=seeds,
            decoding=decoding,
            model=self._model.spec,
            model_hash=lm.weights_hash,
        )
        return self._desk.start(request, who)

    def latest_curve(self) -> KeptCurve | None:
        """The curve that was measured last with the loaded model; None where there is none, or no model is loaded."""
        state = self._model.state()
        return self._curves.latest(state.weights_hash) if state.weights_hash else None

    def _check_curve(self, relative_radii: Sequence[float] | None, bank: str | None, seeds: int) -> tuple[float, ...]:
        """The R of a curve. Raises InputError where they, or the seeds, cannot be one's."""
        radii = check_grid(default_radii() if relative_radii is None else relative_radii, seeds)
        if bank is not None and seeds > 1:
            raise InputError("seeds", "a bank that is there has only one", "Leave the bank out, or take one seed")
        return radii
