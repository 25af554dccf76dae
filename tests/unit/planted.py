"""Maps from vectors to changes whose answer is known, in the place of a model's slice."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.training import METHODS
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.engine.training_result import TrainingResult
from melbo_app.jobs.generators import result_of

Result = TypeVar("Result")
PROMPTS, TOKENS = 2, 3


class PlantedMap:
    """Δ(θ) = f(θ) at every token in scope, of another size at each; the first token is out of scope and shouts."""

    def __init__(self, width: int, change: Callable[[Tensor], Tensor]) -> None:
        self.width, self.device, self._change = width, torch.device("cpu"), change
        self.baseline = torch.full((PROMPTS, TOKENS, 1), 1e9)  # so large that nothing saturates

    def mask(self, _scope: Any) -> Tensor:
        return torch.tensor([[False, True, True]] * PROMPTS)

    def deltas(self, thetas: Tensor, stop: Callable[[], bool] | None = None) -> Tensor:
        sizes = torch.tensor([[0.0, 0.5, 1.5], [0.0, 1.2, 0.8]])  # 1 on the mean of each prompt
        noise = 1e3 * thetas.roll(1, dims=1)[:, None, None, :] * torch.tensor([1.0, 0.0, 0.0])[None, None, :, None]
        return self._change(thetas)[:, None, None, :] * sizes[None, :, :, None] + noise


def unit_rows(count: int, width: int, seed: int) -> Tensor:
    """[count, width] random directions."""
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def found_on(
    change: Callable[[Tensor], Tensor], width: int, config: TrainingConfig, sides: tuple[Tensor, Tensor] | None = None
) -> TrainingResult:
    """What the configured method finds on a planted map, four vectors in a batch."""
    return result_of(METHODS[config.method](Ascent(PlantedMap(width, change), config, 4, sides=sides)))
