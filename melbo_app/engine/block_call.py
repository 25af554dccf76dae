"""What a block is called with beside the hidden states (masks, positions), for another batch of rows."""

from typing import Any

from torch import Tensor

from melbo_app.engine.model import LanguageModel


class RowSelection:
    """Makes arguments for P prompts into arguments for rows, each of which is one of the prompts.

    Tensors are remembered by identity: blocks share masks and positions, and so do their selections.
    """

    def __init__(self, lm: LanguageModel, prompts: int, of: Tensor) -> None:
        """``of`` [rows] int64 says which of the P prompts a row is."""
        heads = getattr(lm.model.config.get_text_config(), "num_attention_heads", 1)
        # alibi (Bloom, Falcon) has batch and heads in one dimension; a leading 1 broadcasts by itself
        self._sizes = {prompts, prompts * heads} - {1}
        self._prompts, self._of = prompts, of
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        """``value`` for the rows: tensors selected, containers entered, everything else as it is."""
        if isinstance(value, Tensor):
            return self._select(value) if value.dim() > 1 and value.shape[0] in self._sizes else value
        if isinstance(value, tuple):
            return tuple(self(entry) for entry in value)
        if isinstance(value, dict):
            return {key: self(entry) for key, entry in value.items()}
        return value

    def _select(self, value: Tensor) -> Tensor:
        if id(value) not in self._seen:  # the tensor is kept as well: its identity is its own while it lives
            of = self._of.to(value.device)
            rows = value.unflatten(0, (self._prompts, -1))[of].flatten(0, 1)
            self._seen[id(value)] = (value, rows)
        return self._seen[id(value)][1]
