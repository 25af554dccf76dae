"""All vectors at once, with a penalty on the cosines of Δ."""

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.climb import climb
from melbo_app.engine.penalty import cosine_penalty
from melbo_app.engine.training_result import Training


def soft_delta(ascent: Ascent) -> Training:
    """Maximise Σ (q/p) log J_k − λ/2 Σ_{i≠j} cos²(δ_i, δ_j), every vector of norm R. δ is Δ flattened over prompts, the
    tokens in scope, and the hidden dimension."""
    config = ascent.config
    return climb(
        ascent,
        lambda rows: config.radius * torch.nn.functional.normalize(rows, dim=1),
        coupling=lambda scoped: -config.orthogonality * cosine_penalty(scoped.flatten(1)),
    )
