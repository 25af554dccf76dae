"""Reads out hidden states: the logits that the model computes from them above its blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.model import LanguageModel


def read_out(lm: LanguageModel, hidden: Tensor) -> Tensor:
    """Next-token logits [N, vocabulary], in float32, of hidden states [N, d] taken as outputs of the last block.

    The model applies its own final norm, unembedding and soft-capping, so no family needs a rule of its own: it runs on
    one token per row, the states replace the first block's output, and the other blocks pass them on.
    """
    one = torch.zeros(len(hidden), 1, dtype=torch.int64, device=lm.device)
    with torch.no_grad(), _in_place_of_the_blocks(lm, hidden[:, None]):
        return lm.forward(one, torch.ones_like(one), one).logits[:, -1].float()


@contextmanager
def _in_place_of_the_blocks(lm: LanguageModel, hidden: Tensor) -> Iterator[None]:
    returned: Any = None

    def replace(_module: Any, _args: tuple, output: Any) -> Any:
        nonlocal returned
        returned = with_hidden(output, hidden.to(hidden_of(output)))
        return returned

    def hand_on(*_args: Any, **_kwargs: Any) -> Any:
        return returned

    first, *others = lm.blocks
    before = [block.__dict__.get("forward") for block in others]  # None, unless other code has replaced it
    handle = first.register_forward_hook(replace)
    try:
        for block in others:
            block.forward = hand_on
        yield
    finally:
        handle.remove()
        for block, own in zip(others, before, strict=True):
            del block.forward
            if own is not None:
                block.forward = own
