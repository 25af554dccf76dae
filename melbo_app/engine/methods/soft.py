"""All vectors at once, with a penalty on cosines instead of exact orthogonality."""

from collections.abc import Callable

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.climb import climb
from melbo_app.engine.training_result import Training


def soft_theta(ascent: Ascent) -> Training:
    """Maximise Σ (q/p) log J_k − λ/2 Σ_{i≠j} cos²(θ_i, θ_j), every vector of norm R."""
    weight = ascent.config.orthogonality
    return climb(ascent, _of_norm(ascent.config.radius), penalty=lambda thetas: weight * cosine_penalty(thetas))


def soft_delta(ascent: Ascent) -> Training:
    """Maximise Σ (q/p) log J_k − λ/2 Σ_{i≠j} cos²(δ_i, δ_j), every vector of norm R. δ is Δ flattened over prompts, the
    tokens in scope, and the hidden dimension."""
    weight = ascent.config.orthogonality
    return climb(
        ascent, _of_norm(ascent.config.radius), coupling=lambda scoped: -weight * cosine_penalty(scoped.flatten(1))
    )


def cosine_penalty(rows: Tensor) -> Tensor:
    """½ Σ_{i≠j} cos²(z_i, z_j) of V rows [V, n]: 0 for orthogonal rows, V(V−1)/2 for V equal ones."""
    unit = torch.nn.functional.normalize(rows, dim=1)
    squares = (unit @ unit.T).square()
    return (squares.sum() - squares.diagonal().sum()) / 2


def _of_norm(radius: float) -> Callable[[Tensor], Tensor]:
    return lambda rows: radius * torch.nn.functional.normalize(rows, dim=1)
