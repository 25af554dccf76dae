"""Soft orthogonality: a penalty on cosines instead of exact orthogonality."""

import torch
from torch import Tensor


def cosine_penalty(rows: Tensor) -> Tensor:
    """½ Σ_{i≠j} cos²(z_i, z_j) of V rows [V, n]: 0 for orthogonal rows, V(V−1)/2 for V equal ones."""
    unit = torch.nn.functional.normalize(rows, dim=1)
    squares = (unit @ unit.T).square()
    return (squares.sum() - squares.diagonal().sum()) / 2
