"""Similarity of vectors: cosines of their Δ, and of the vectors themselves."""

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import Stop


def cosines(rows: Tensor | np.ndarray) -> Tensor:
    """Pairwise cosines of V rows: [V, V]. A row of zeros has cosine 0 with every row, itself included."""
    # normalised in float64 one row at a time, because rows may have millions of entries
    rows = torch.as_tensor(rows)
    unit = torch.stack([torch.nn.functional.normalize(row.double(), dim=0).to(row) for row in rows])
    products = (unit @ unit.T).float()
    return ((products + products.T) / 2).clamp(-1, 1)


def delta_cosines(
    piece: ModelSlice, thetas: Tensor | np.ndarray, scope: TokenScope, stop: Stop | None = None
) -> Generator[int, None, Tensor]:
    """Pairwise cosines of Δ(θ), flattened over prompts, the tokens in scope, and the hidden dimension: [V, V].

    Yields the number of vectors done after each forward pass.

    Args:
        thetas: [V, d].

    Raises:
        Stopped: ``stop()``, which is called before every block, became true.
    """
    mask = piece.mask(scope)
    thetas = torch.as_tensor(thetas).to(piece.device)
    batch = piece.vectors_per_pass
    flat: Tensor | None = None
    for start in range(0, len(thetas), batch):
        with torch.no_grad():
            part = piece.deltas(thetas[start : start + batch], stop)[:, mask].flatten(start_dim=1).cpu()
        if flat is None:
            flat = part.new_empty(len(thetas), part.shape[1])
        flat[start : start + batch] = part
        yield min(start + batch, len(thetas))
    assert flat is not None, "a bank has at least one vector"
    return cosines(flat)


def mean_off_diagonal(matrix: Tensor) -> float | None:
    """Mean of ``matrix`` [V, V] without its diagonal; None for a single vector."""
    count = matrix.shape[0]
    if count < 2:
        return None
    return float((matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1)))
