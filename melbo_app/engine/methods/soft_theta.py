"""All vectors at once, with a penalty on the cosines of θ instead of exact orthogonality."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.climb import climb
from melbo_app.engine.penalty import cosine_penalty
from melbo_app.engine.training_result import Training


def soft_theta(ascent: Ascent) -> Training:
    """Maximise Σ (q/p) log J_k − λ/2 Σ_{i≠j} cos²(θ_i, θ_j), every vector of norm R."""
    config = ascent.config
    return climb(
        ascent,
        lambda rows: config.radius * torch.nn.functional.normalize(rows, dim=1),
        penalty=lambda thetas: config.orthogonality * cosine_penalty(thetas),
    )
