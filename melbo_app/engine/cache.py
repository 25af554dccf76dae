"""The key-value cache of rows that are completed together: merging rows in, and dropping those that are done."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from melbo_app.engine.model import LanguageModel


def can_merge(lm: LanguageModel) -> bool:
    """Whether the model's only state is keys and values, so that rows of several calls can share a cache."""
    if getattr(lm.model, "_is_stateful", False) or not lm.has_cache:
        return False
    layers = DynamicCache(config=lm.model.config).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def merge(one: Any, other: Any) -> None:
    """Append the rows of ``other`` to ``one``, padding the shorter on the left. Changes nothing if it fails."""
    made = []
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        if not ours.is_initialized:  # shares the cache of another layer
            continue
        columns = max(ours.keys.shape[-2], theirs.keys.shape[-2])
        keys, values = (
            torch.cat([_padded(first, columns), _padded(second, columns)])
            for first, second in ((ours.keys, theirs.keys), (ours.values, theirs.values))
        )
        made.append((ours, keys, values, max(ours.get_seq_length(), theirs.get_seq_length())))
    for layer, keys, values, length in made:
        _set(layer, keys, values, length)


def keep(cache: Any, rows: Tensor, cut: int) -> None:
    """Keep only ``rows`` [n] int64, and drop their first ``cut`` columns, which are padding in all of them."""
    for layer in cache.layers:
        if layer.is_initialized:
            layer.reorder_cache(rows)
            length = layer.get_seq_length() - cut
            # a sliding window may have dropped these columns already
            last = min(length, layer.keys.shape[-2])
            _set(layer, layer.keys[..., -last:, :], layer.values[..., -last:, :], length)


def _padded(states: Tensor, columns: int) -> Tensor:
    """States [rows, heads, n, d] padded on the left with zeros: [rows, heads, columns, d]."""
    return torch.nn.functional.pad(states, (0, 0, columns - states.shape[-2], 0))


def _set(layer: Any, keys: Tensor, values: Tensor, length: int) -> None:
    layer.keys, layer.values = keys, values
    if isinstance(layer, DynamicSlidingWindowLayer):
        layer.cumulative_length = length
