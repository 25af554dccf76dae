"""Decoder blocks: finding them in a model, and the hidden states in their outputs."""

from typing import Any

from torch import Tensor, nn

from melbo_app.errors import InputError


def find_blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks of any causal language model of transformers, in order.

    They are the outermost ``nn.ModuleList`` with as many entries as the config has hidden layers: this holds for every
    family, so no list of names is needed. Raises InputError for a model without one.
    """
    count = model.config.get_text_config().num_hidden_layers  # type: ignore[union-attr,operator]
    lists = [
        (name.count("."), module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if not lists:
        problem = f"{type(model).__name__} has no list of {count} decoder blocks"
        raise InputError("model", problem, "Choose a decoder-only language model of transformers")
    return min(lists, key=lambda entry: entry[0])[1]


def hidden_of(output: Any) -> Tensor:
    """The hidden states [batch, tokens, d] of a block's output: a tensor, or the first entry of a tuple or list."""
    return output[0] if isinstance(output, (tuple, list)) else output


def with_hidden(output: Any, hidden: Tensor) -> Any:
    """``output`` with its hidden states replaced, in the same container."""
    if isinstance(output, tuple):
        return (hidden, *output[1:])
    if isinstance(output, list):
        return [hidden, *output[1:]]
    return hidden
