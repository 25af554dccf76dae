"""The arguments of a block beside the hidden states (masks, positions), adapted to another batch of rows."""

from collections import UserDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

from melbo_app.engine.model import LanguageModel


class RowSelection:
    """Turns arguments for P prompts into arguments for rows, each of which is one of the prompts. Selections are cached
    by the tensor's identity, because blocks share masks and positions."""

    def __init__(self, lm: LanguageModel, prompts: int, of: Tensor) -> None:
        """``of`` [rows] int64: the prompt of each row."""
        self._heads = getattr(lm.model.config.get_text_config(), "num_attention_heads", 1)
        self._prompts, self._of = prompts, of
        self._seen: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any, name: str = "") -> Any:
        """The argument ``name`` with this ``value``, for the rows: selects from tensors, also inside containers."""
        if isinstance(value, Tensor):
            return self._once(value, self._select) if self._is_of_prompts(value, name) else value
        if isinstance(value, UserDict):  # Gemma 4's later blocks read what earlier ones write here: one for all blocks
            return self._once(value, lambda shared: type(shared)({key: self(entry) for key, entry in shared.items()}))
        if isinstance(value, tuple):
            return tuple(self(entry) for entry in value)
        if isinstance(value, dict):
            return {key: self(entry, key) for key, entry in value.items()}
        return value

    def _is_of_prompts(self, value: Tensor, name: str) -> bool:
        if name == "alibi":  # Bloom and Falcon merge batch and heads into one dimension
            return value.shape[0] == self._prompts * self._heads
        if value.dim() < 2 or (name == "position_bias" and value.dim() == 3):  # MPT: [heads, T, T], the same for all
            return False
        # a leading 1 broadcasts, but XGLM needs a mask for every row
        return value.shape[0] == self._prompts and (self._prompts > 1 or value.dim() == 4)

    def _once(self, value: Any, make: Callable[[Any], Any]) -> Any:
        if id(value) not in self._seen:  # keeps the value alive too, or another one could take its id
            self._seen[id(value)] = (value, make(value))
        return self._seen[id(value)][1]

    def _select(self, value: Tensor) -> Tensor:
        if self._prompts == 1 and value.shape[0] == 1:
            return value.expand(len(self._of), *value.shape[1:])
        return value.unflatten(0, (self._prompts, -1))[self._of.to(value.device)].flatten(0, 1)
