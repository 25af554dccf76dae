"""Prompts in a model: their tokens, and slices of the model run on them."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import layers
from melbo_app.errors import InputError
from melbo_app.jobs.compute import ComputeLock

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice

SLICES_KEPT = 4
TOKENS_KEPT = 8_192
"""Slices with more tokens are not kept: a token takes 5 kB in a small model, and 30 in a large one."""


@dataclass(frozen=True)
class PromptTokens:
    """The tokens of one prompt as the model reads them, and whether each is in scope."""

    text: str
    pieces: list[str]
    counts: list[bool]


def pair_of(lm: "LanguageModel", source: int | None, target: int | None = None) -> tuple[int, int]:
    """Source and target layer, by default the usual ones. Raises InputError for layers that the model does not have."""
    last = len(lm.blocks) - 1
    if source is not None:
        lm.block("source layer", source)
        if source == last and target in (None, last):
            raise InputError(
                "source layer",
                f"{source} is the last block of {lm.name}, but changes are measured in a block above",
                f"Choose a block from 0 to {last - 1}",
            )
    source, target = layers(len(lm.blocks), source, target)
    lm.block("target layer", target)
    return source, target


class Slices:
    """Slices of the model on prompts. The last few are kept, because the same prompts come again and again."""

    def __init__(self, compute: ComputeLock) -> None:
        self._compute = compute
        self._slices: OrderedDict[tuple, ModelSlice] = OrderedDict()

    def tokens(
        self,
        lm: "LanguageModel",
        prompts: Sequence[Prompt],
        scope: TokenScope,
        source: int | None = None,
        target: int | None = None,
        stop: Stop = lambda: False,
    ) -> list[PromptTokens]:
        """The exact tokens that the model reads, and which are in scope; layers matter only for scope ``content``."""
        from melbo_app.engine.encoding import encode, pieces

        encoded = encode(lm, prompts, stop)
        sinks = None
        if scope.kind == "content":
            sinks = self._slice(lm, encoded, *layers(len(lm.blocks), source, target), stop).sinks
        mask, real = scope.mask(encoded, sinks), encoded.attention_mask.bool()
        return [
            PromptTokens(encoded.texts[row], pieces(lm, encoded, row), mask[row][real[row]].tolist())
            for row in range(len(prompts))
        ]

    def slice(
        self,
        lm: "LanguageModel",
        prompts: Sequence[Prompt],
        source: int,
        target: int | None = None,
        stop: Stop = lambda: False,
    ) -> "ModelSlice":
        """The model between two blocks on these prompts; ``target`` defaults to the layer that suits ``source``.

        Raises:
            Stopped: ``stop()`` became true.
            InputError: prompts that cannot be used, or layers that do not exist.
        """
        from melbo_app.engine.encoding import encode

        return self._slice(lm, encode(lm, prompts, stop), *pair_of(lm, source, target), stop)

    def forget(self, present: "LanguageModel") -> None:
        """Release all models but the present one, because slices hold their model."""
        for key in [key for key, piece in self._slices.items() if piece.lm is not present]:
            del self._slices[key]

    def _slice(
        self, lm: "LanguageModel", encoded: "EncodedPrompts", source: int, target: int, stop: Stop
    ) -> "ModelSlice":
        from melbo_app.engine.memory import refuse_prompts
        from melbo_app.engine.slice import ModelSlice

        with self._compute.hold():
            key = (lm.weights_hash, str(lm.dtype), encoded.hashes, tuple(encoded.tail.sum(1).tolist()), source, target)
            piece = self._slices.get(key)
            if piece is None:
                refuse_prompts(lm, encoded)
                piece = ModelSlice(lm, encoded, source, target, self._compute.giving_way(stop))
            if encoded.input_ids.numel() <= TOKENS_KEPT:
                self._slices[key] = piece
                self._slices.move_to_end(key)
                while len(self._slices) > SLICES_KEPT:
                    self._slices.popitem(last=False)
            return piece
