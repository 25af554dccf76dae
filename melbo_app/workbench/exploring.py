"""Use cases of exploring: what to choose before training."""

from collections.abc import Generator, Sequence
from dataclasses import replace

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.curve_making import CurveMaking
from melbo_app.jobs.diversity_curve import CurveProgress, check_grid, default_radii, diversity_curve
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import Stop

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
        keeps the points that are there.

        Args:
            training: what to train, but for R and the number of vectors; None: 12 joint steps, with the layers and the
                scope that are suggested.
            relative_radii: multiples of the median norm; None: 8 of them from 0.02 to 0.3.
            seeds: as many curves, from the training's seed on, whose points are put together.

        Raises:
            Stopped: a stop came before the first point.
        """
        radii = check_grid(default_radii() if relative_radii is None else relative_radii, seeds)
        if bank is not None and seeds > 1:
            raise InputError("seeds", "a bank that is there has only one", "Leave the bank out, or take one seed")
        lm = self._model.get()
        loaded = None if bank is None else self._bank_for(lm, bank)
        if loaded is not None:
            record = loaded.record
            suggested = self.suggestion(prompts, record.source, record.target)
            count = min(vectors, len(loaded.vectors))
        else:
            layers = (None, None) if training is None else (training.source, training.target)
            suggested, count = self.suggestion(prompts, *layers), vectors
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
        return (yield from diversity_curve(empty, radii, making, stop))
