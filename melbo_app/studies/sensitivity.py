"""How strongly target layers respond to source layers, for many pairs."""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import default_scope, layers
from melbo_app.engine.training_config import MOST_VECTORS, TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, ModelStudy, Option
from melbo_app.limits import check_range

ROUGH = 1e-3
"""The residual from which the fourth digit of a value may be wrong."""


@dataclass(frozen=True)
class LayerPair:
    """The leading singular values of the Jacobian of Δ at 0 from one layer to another, the largest first."""

    source: int
    target: int
    values: list[float]
    median_norm: float
    """Median residual norm at the source."""
    residual: float
    """Error bound: each σ² is within this share of the largest σ² of a true one. About 1e-5 once converged."""


class MeasureSensitivity(ModelStudy[list[LayerPair]]):
    """How strongly target layers respond to source layers: singular values of the Jacobian between them. Stopping keeps
    the finished pairs."""

    kind: ClassVar[str] = "sensitivity"
    how: ClassVar[How] = "compute"
    doors = frozenset({"command"})

    prompts: tuple[Prompt, ...] = Field(description="user texts")
    sources: tuple[int, ...] | None = Field(None, description="source layers")
    targets: tuple[int, ...] | None = Field(None, description="target layers")
    scope: str | None = Field(None, description="tokens that count: all, content, assistant or last:4")
    count: Annotated[int, Option("values")] = Field(4, description="singular values for each pair")

    def check(self, bench: Bench) -> None:
        TokenScope.parse(self.scope or "all")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, list[LayerPair]]:
        """``count`` singular values for every pair of a source and a target layer above it (Ayyub 2026).

        To get the vectors, train a bank by ``jacobian`` on one pair.

        Raises:
            InputError: no target is above a source, or ``jacobian`` refuses a pair.
        """
        return (yield from bench.compute.steps(self._measured(bench, bench.compute.giving_way(stop)), short=False))

    def _measured(self, bench: Bench, stop: Stop) -> Generator[Progress, None, list[LayerPair]]:
        from melbo_app.engine.encoding import encode
        from melbo_app.engine.slice import ModelSlice
        from melbo_app.engine.training import train

        lm, scope = bench.model.get(stop), self.scope or default_scope(self.prompts)
        source, target = layers(len(lm.blocks))
        sources, targets = self.sources or [source], self.targets or [target]
        pairs = [(source, target) for source in sources for target in targets if target > source]
        if not pairs:
            raise InputError("target layers", "none is above a source layer", "Choose higher ones")
        check_range("values", self.count, 1, MOST_VECTORS // 2)
        # each direction comes with both signs
        configs = [TrainingConfig(*pair, 1.0, 2 * self.count, "jacobian", scope=scope) for pair in pairs]
        encoded = encode(lm, self.prompts, stop)
        found: list[LayerPair] = []
        for config in configs:
            passes = config.total_steps
            now = Progress(f"block {config.source} → {config.target}", len(found) * passes, len(pairs) * passes)
            yield now
            piece = ModelSlice(lm, encoded, config.source, config.target, stop)
            result = yield from part_of(now, train(piece, config, stop, bench.model.memory_gb), passes)
            if result.stopped:
                break
            assert result.strength is not None and result.residual is not None, "the Jacobian's directions come with it"
            values = result.strength[::2]
            found.append(LayerPair(config.source, config.target, values, piece.median_norm, result.residual))
        return found

    def answer(self, result: list[LayerPair], not_kept: str | None) -> dict[str, Any]:
        return {"pairs": [asdict(pair) for pair in result]}

    def lines(self, result: list[LayerPair]) -> list[str]:
        return [_line(pair) for pair in result]


def _line(pair: LayerPair) -> str:
    values = "  ".join(f"{value:.4g}" for value in pair.values)
    rough = "" if pair.residual < ROUGH else f"  (squares to within {pair.residual:.1g} of the largest)"
    return f"{pair.source} → {pair.target}: {values}{rough}"
