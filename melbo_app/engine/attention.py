"""Attention of a half-precision model on a CPU, where torch's attention has no fast backward pass in bfloat16.

Forward and backward pass of one block of SmolLM2-135M in milliseconds, on two cores with AVX512-BF16:

| rows, tokens | bfloat16 | float32 | written out |
|---|---|---|---|
| 32, 37 | 34 | 11 | 4 |
| 54, 37 | 52 | 17 | 6 |
| 16, 128 | 45 | 25 | 22 |
| 8, 256 | 50 | 37 | 44 |

So short texts use attention written out here, and longer ones float32: the casts cost far less than they save. Scores
are float32 in both: bfloat16 would be as slow, with a relative gradient error of .015 instead of .003 (scores of
standard deviation 9).
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_half"
SHORT = 100
"""Up to this many tokens, attention is written out."""
OUT_OF_SIGHT = -1e30
"""Added to masked scores; −∞ would give NaN at padding, which sees nothing."""
IN_THE_MASK = frozenset({"dropout", "scaling", "is_causal", "sliding_window", "position_ids", "use_cache"})
"""Arguments that may be ignored: the mask implies them, the scaling is read, and dropout is for training."""


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    if _can_write_out(query, key, attention_mask, kwargs):
        return _written_out(query, key, value, attention_mask, kwargs.get("scaling")), None
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    output, weights = sdpa_attention_forward(
        module, query.float(), key.float(), value.float(), attention_mask, **kwargs
    )
    return output.to(query.dtype), weights


def _can_write_out(query: Tensor, key: Tensor, mask: Tensor | None, kwargs: dict[str, Any]) -> bool:
    """The library handles single tokens, and whatever only it supports."""
    if not 1 < query.shape[2] <= key.shape[2] <= SHORT:
        return False
    if mask is None and (query.shape[2] < key.shape[2] or kwargs.get("is_causal") is False):
        return False
    return all(name in IN_THE_MASK or value is None for name, value in kwargs.items())


def _written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Softmax(q kᵀ · scaling) v, causal without a mask: [rows, T, heads, d].

    Queries are [rows, heads, T, d]. Keys and values are [rows, kept, S, d], each shared by heads/kept heads. The mask
    is [rows or 1, heads or 1, T, S], boolean or additive.
    """
    heads, tokens, kept = query.shape[1], query.shape[2], key.shape[1]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query = query.reshape(len(query), kept, heads // kept * tokens, -1)
    scores = _Scores.apply(query, key, scaling).unflatten(2, (-1, tokens))
    added = _causal(tokens) if mask is None else _as_added(mask)
    added = added[:, :, None] if added.shape[1] == 1 else added.unflatten(1, (kept, -1))
    weights = (scores + added).softmax(dim=-1).to(value.dtype)
    output = (weights.flatten(2, 3) @ value).unflatten(2, (-1, tokens))
    if mask is not None:  # padding sees nothing, and torch gives 0 there
        output = output * (added > OUT_OF_SIGHT).any(dim=-1, keepdim=True)
    return output.flatten(1, 2).transpose(1, 2).contiguous()


class _Scores(torch.autograd.Function):
    """q kᵀ · scaling in float32; its gradients in the dtype of q and k."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, scaling: float) -> Tensor:
        ctx.save_for_backward(query, key)
        ctx.scaling = scaling
        return (query.float() * scaling) @ key.float().transpose(2, 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        query, key = ctx.saved_tensors
        gradient = (gradient * ctx.scaling).to(query.dtype)
        return gradient @ key, gradient.transpose(2, 3) @ query, None


@cache
def _causal(tokens: int) -> Tensor:
    return _as_added(torch.ones(1, 1, tokens, tokens, dtype=torch.bool).tril())


def _as_added(mask: Tensor) -> Tensor:
    """A mask [rows or 1, heads or 1, T, S] as an additive one in float32."""
    if mask.dtype != torch.bool:
        return mask.float().clamp(min=OUT_OF_SIGHT)
    return torch.zeros(mask.shape).masked_fill_(~mask, OUT_OF_SIGHT)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
