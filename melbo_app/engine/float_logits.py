"""Logits in float32, also where the weights have fewer bits: rounded to bfloat16, a logit of 20 is off by up to .06."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from melbo_app.engine.model import LanguageModel

ROWS = 8_192
"""Rows of the output matrix that are converted at a time."""


@contextmanager
def float_logits(lm: LanguageModel) -> Iterator[None]:
    """In this context, the output matrix is multiplied in float32; differentiable in its input."""
    layer: Any = lm.model.get_output_embeddings()
    weight = getattr(layer, "weight", None)
    if weight is None or weight.ndim != 2 or weight.dtype not in (torch.bfloat16, torch.float16):
        yield
        return

    def again(_layer: Any, args: tuple, _output: Any) -> Tensor:
        given = args[0].float()
        logits = torch.cat([linear(given, rows.float()) for rows in layer.weight.split(ROWS)], dim=-1)
        bias = getattr(layer, "bias", None)
        return logits if bias is None else logits + bias.float()

    handle = layer.register_forward_hook(again)
    try:
        yield
    finally:
        handle.remove()
