"""Use cases of finding R, layers and vectors without trying them one by one."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.calibration import CalibratedRadius, calibrate_pair
from melbo_app.jobs.training import default_scope, layers
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import Stop

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.calibration import CalibrationProgress


class Exploring(Shelf):
    """R and layers."""

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
        work = calibrate_pair(lm, prompts, *pair, scope or default_scope(prompts), self._model.memory_gb, stop)
        return (yield from self._compute.steps(work))
