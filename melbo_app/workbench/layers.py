"""Use cases of choosing layers and R without trying them one by one."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.atlas import AtlasProgress, Pair, atlas_layers, check_read, draw_atlas, grid
from melbo_app.jobs.calibration import CalibratedRadius, calibrate_pair
from melbo_app.jobs.job import Job
from melbo_app.jobs.request import AtlasRequest
from melbo_app.jobs.training import default_scope, layers
from melbo_app.library.atlases import Atlas
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import HERE, Stop

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.calibration import CalibrationProgress


class Layers(Shelf):
    """Which layers, and where their linear regime ends."""

    def calibrate(
        self,
        prompts: Sequence[Prompt],
        source: int | None = None,
        target: int | None = None,
        scope: str | None = None,
        *,
        stop: Stop = lambda: False,
    ) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
        """The R at which Δ leaves the linear regime, without any text; layers and scope left out are the usual ones.

        Raises Stopped where it was stopped.
        """
        lm = self._model.get()
        pair = layers(len(lm.blocks), source, target)
        asked = self._compute.giving_way(stop)
        work = calibrate_pair(lm, prompts, *pair, scope or default_scope(prompts), self._model.memory_gb, asked)
        return (yield from self._compute.steps(work))

    def atlas(
        self,
        prompts: Sequence[Prompt],
        sources: Sequence[int] | None = None,
        targets: Sequence[int] | None = None,
        read: Sequence[Pair] | None = None,
        scope: str | None = None,
        *,
        stop: Stop = lambda: False,
    ) -> Generator[AtlasProgress, None, Atlas]:
        """Pairs of source and target layers: singular values and calibrated R, and for those in ``read`` (None: all)
        what a few vectors do at that R. Each pair is kept as soon as it is there, with those that were measured for
        the same prompts before; stopping keeps them."""
        lm = self._model.get()
        asked = (sources, targets) if sources and targets else atlas_layers(len(lm.blocks))
        pairs = grid(sources or asked[0], targets or asked[1], len(lm.blocks))
        check_read(read, pairs)
        work = draw_atlas(
            lm, self._model.spec, prompts, pairs, read, scope or default_scope(prompts), self._batching,
            self._model.memory_gb, self._embed, self._atlases.find, self._atlases.keep, stop,
        )  # fmt: skip
        return (yield from work)

    def start_atlas(
        self,
        prompts: Sequence[Prompt],
        sources: Sequence[int],
        targets: Sequence[int],
        read: Sequence[Pair] | None,
        scope: str,
        *,
        who: str = HERE,
    ) -> Job[AtlasProgress, Atlas]:
        """The same in the background, for the loaded model."""
        check_read(read, grid(sources, targets, len(self._model.get().blocks)))
        request = AtlasRequest(
            prompts=tuple(prompts),
            sources=tuple(sources),
            targets=tuple(targets),
            read=None if read is None else tuple(read),
            scope=scope,
            model=self._model.spec,
            model_hash=self._model.state().weights_hash,
        )
        return self._desk.start(request, who)

    def suggested_layers(self) -> tuple[list[int], list[int]]:
        """Source and target layers to begin an atlas with, for the loaded model."""
        return atlas_layers(len(self._model.get().blocks))

    def latest_atlas(self) -> Atlas | None:
        """The atlas of the loaded model that was changed last; None where there is none, or no model is loaded."""
        state = self._model.state()
        return self._atlases.latest(state.weights_hash) if state.weights_hash else None
