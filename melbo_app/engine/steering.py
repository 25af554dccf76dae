"""Steering: adding vectors to the output of a block while a model runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.model import LanguageModel
from melbo_app.errors import InputError

SteeringMethod = Callable[[Tensor], Tensor]
"""Takes the hidden states [rows, tokens, d] at the output of a block, and returns the tensor to add to them, of a shape
that broadcasts to theirs."""


def add_rows(thetas: Tensor) -> SteeringMethod:
    """Adds one vector per row of the batch, the same at every token position.

    Args:
        thetas: [rows, d], or [1, d] for one vector in all rows.

    Raises:
        InputError: when it runs on a batch with another number of rows.
    """

    def delta(hidden: Tensor) -> Tensor:
        if thetas.shape[0] not in (1, hidden.shape[0]):
            problem = f"{thetas.shape[0]} vectors cannot steer a batch of {hidden.shape[0]} rows"
            raise InputError("vectors", problem, "Give one vector, or one for each row; every beam is a row")
        return thetas[:, None, :]

    return delta


@contextmanager
def steer(lm: LanguageModel, source: int, method: SteeringMethod) -> Iterator[None]:
    """In this context, ``method``'s result is added to the output of block ``source`` at each forward pass. Raises
    RuntimeError on leaving if the block never ran."""
    steered = 0

    def add(_module: Any, _args: tuple, output: Any) -> Any:
        nonlocal steered
        hidden = hidden_of(output)
        steered += 1
        return with_hidden(output, hidden + method(hidden).to(hidden))

    handle = lm.block("source layer", source).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
    if not steered:
        where = f"block {source} of {lm.name}"
        raise RuntimeError(f"nothing was steered: {where} did not run, or was compiled, which skips hooks")


def random_vector(width: int, radius: float, seed: int) -> Tensor:
    """The random control: a vector [d] of norm |radius| in a uniformly random direction. The direction depends only on
    ``width`` and ``seed``, so it is the same at every R."""
    generator = torch.Generator().manual_seed(seed)
    return radius * torch.nn.functional.normalize(torch.randn(width, generator=generator), dim=0)
