"""The next tokens that a vector promotes and suppresses."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.readout import read_out
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import Stop, raise_if

PLAUSIBLE = 1e-3
"""Minimum probability of a listed token, with the vector or without: the largest changes are those of tokens too
unlikely ever to be generated."""


@dataclass(frozen=True)
class TopTokens:
    """Token ids and the changes of their log-probabilities in nats, the largest first."""

    promoted: list[tuple[int, float]]
    suppressed: list[tuple[int, float]]


def top_tokens(
    piece: ModelSlice, thetas: Tensor | np.ndarray, count: int, stop: Stop | None = None
) -> Generator[int, None, list[TopTokens]]:
    """The tokens, at most ``count``, that each vector makes more and less likely at the prompts' last position.

    Z(θ) and Z(0) at the target layer are read out as if it were the last one (logit lens; nostalgebraist 2020), and
    changes and probabilities are averaged over the prompts. With the last block as the target they are the model's own
    predictions. Yields the number of vectors done after each pass.

    Args:
        thetas: [V, d].

    Raises:
        Stopped: ``stop()``, which is called before every block, became true.
    """
    batch = piece.vectors_per_pass
    thetas = torch.as_tensor(thetas).to(piece.device)
    before = read_out(piece.lm, piece.baseline[:, -1]).log_softmax(dim=-1)
    found: list[TopTokens] = []
    for start in range(0, len(thetas), batch):
        with torch.no_grad():
            hidden = piece.activations(thetas[start : start + batch], stop)[:, :, -1]
        for row in hidden:  # one at a time, because vocabularies are large
            raise_if(stop)
            after = read_out(piece.lm, row).log_softmax(dim=-1)
            plausible = torch.maximum(after.exp().mean(dim=0), before.exp().mean(dim=0)) >= PLAUSIBLE
            change = (after - before).mean(dim=0)
            lowest = [(token, -by) for token, by in _largest(-change, plausible, count)]
            found.append(TopTokens(_largest(change, plausible, count), lowest))
        yield len(found)
    return found


def _largest(change: Tensor, plausible: Tensor, count: int) -> list[tuple[int, float]]:
    """The largest positive changes [vocabulary] among the plausible tokens."""
    values, tokens = change.masked_fill(~plausible, 0).topk(min(count, len(change)))
    return [(token, by) for token, by in zip(tokens.tolist(), values.tolist(), strict=True) if by > 0]
