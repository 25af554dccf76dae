"""How alike vectors are: cosines of what they change, and of the vectors themselves."""

import torch
from torch import Tensor

from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice


def cosines(rows: Tensor) -> Tensor:
    """Pairwise cosines of V rows: [V, V]. A row of zeros has cosine 0 with everything, itself included."""
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    return (unit @ unit.T).float().clamp(-1, 1)


def delta_cosines(piece: ModelSlice, thetas: Tensor, scope: TokenScope, batch: int = 16) -> Tensor:
    """Pairwise cosines of Δ(θ), flattened over prompts, the tokens in scope, and the hidden dimension: [V, V].

    Args:
        thetas: [V, d].
        batch: vectors in one forward pass.
    """
    mask = piece.mask(scope)
    with torch.no_grad():
        flat = [piece.deltas(chunk)[:, mask].flatten(start_dim=1).cpu() for chunk in thetas.split(batch)]
    return cosines(torch.cat(flat))


def mean_off_diagonal(matrix: Tensor) -> float | None:
    """Mean of [V, V] without its diagonal; None for a single vector."""
    count = matrix.shape[0]
    if count < 2:
        return None
    return float((matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1)))
