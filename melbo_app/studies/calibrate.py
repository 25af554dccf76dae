"""A calibration: finds the R at which vectors leave the linear regime, for prompts and layers."""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import default_scope, layers
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.study import How, ModelStudy

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.calibration import CalibrationProgress
    from melbo_app.engine.slice import ModelSlice

LEAST, MOST = 0.01, 10.24
"""The range of R to examine, as multiples of the median residual norm at the source."""
BY_HAND = 0.75
"""The R that a reader of completions would choose, as a share of the calibrated R (docs/calibration.md)."""


@dataclass(frozen=True)
class CalibratedRadius:
    """Where Δ leaves the linear regime between two layers; ``radii`` and ``departures`` are the measurements."""

    source: int
    target: int
    scope: str
    radius: float | None
    """R in absolute units; None if the range contains no such R."""
    relative_radius: float | None
    """R as a multiple of the median norm."""
    median_norm: float
    """Median residual norm at the source."""
    radii: list[float]
    departures: list[float]

    @property
    def suggested_radius(self) -> float | None:
        """R to train with, in absolute units."""
        return None if self.radius is None else BY_HAND * self.radius

    @property
    def sentence(self) -> str:
        """The result in a sentence."""
        where = f"blocks {self.source} → {self.target}, scope {self.scope}"
        if self.radius is not None:
            return (
                f"R = {self.radius:.3g}, {self.relative_radius:.3g} × the median norm: there Δ is half as far from "
                f"linear as it is large ({where}). A reader would choose about {BY_HAND:g} × this R: "
                f"{self.suggested_radius:.3g}."
            )
        span = f"R from {self.radii[0]:.3g} to {self.radii[-1]:.3g}"
        if self.departures[-1] < self.departures[0]:
            return f"No R found: Δ is too far from linear at all {span} ({where})."
        return f"No R found: Δ stays near linear at all {span} ({where})."


class Calibrate(ModelStudy[CalibratedRadius]):
    """The R at which what random vectors change is half as far from linear as it is large, without generating text."""

    kind: ClassVar[str] = "calibrate"
    how: ClassVar[How] = "compute"
    doors = frozenset({"command"})

    prompts: tuple[Prompt, ...] = Field(description="user texts")
    source: int | None = Field(None, description="source layer")
    target: int | None = Field(None, description="target layer")
    scope: str | None = Field(None, description="tokens that count: all, content, assistant or last:4")

    def check(self, bench: Bench) -> None:
        TokenScope.parse(self.scope or "all")

    def run(self, bench: Bench, stop: Stop) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
        return (yield from bench.compute.steps(self._calibrated(bench, bench.compute.giving_way(stop))))

    def _calibrated(self, bench: Bench, stop: Stop) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
        from melbo_app.engine.calibration import CalibrationProgress
        from melbo_app.engine.encoding import encode
        from melbo_app.engine.slice import ModelSlice

        lm, scope = bench.model.get(stop), TokenScope.parse(self.scope or default_scope(self.prompts))
        pair = layers(len(lm.blocks), self.source, self.target)
        yield CalibrationProgress("running the model once", 0, 1)
        piece = ModelSlice(lm, encode(lm, self.prompts, stop), *pair, stop)
        return (yield from calibrate_piece(piece, scope, bench.model.memory_gb, stop))

    def answer(self, result: CalibratedRadius, not_kept: str | None) -> dict[str, Any]:
        return {**asdict(result), "suggested_radius": result.suggested_radius, "sentence": result.sentence}

    def lines(self, result: CalibratedRadius) -> list[str]:
        return [result.sentence]


def calibrate_piece(
    piece: "ModelSlice", scope: TokenScope, memory_gb: float | None, stop: Stop
) -> "Generator[CalibrationProgress, None, CalibratedRadius]":
    """The R between the layers of a slice, over random directions. Raises InputError, Stopped."""
    from melbo_app.engine.calibration import calibrate, random_directions
    from melbo_app.engine.training import batch_size

    norm = piece.median_norm
    directions, bracket = random_directions(piece.width, seed=0), (LEAST * norm, MOST * norm)
    mask = piece.mask(scope)
    if not norm > 0:
        raise InputError("source layer", "its residuals are zero", "Choose another")
    found = yield from calibrate(piece, mask, directions, bracket, batch_size(piece, memory_gb), stop)
    relative = None if found.radius is None else found.radius / norm
    return CalibratedRadius(
        piece.source, piece.target, str(scope), found.radius, relative, norm, found.radii, found.departures
    )
