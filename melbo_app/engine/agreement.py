"""Agreement: whether a vector changes all prompts in one direction, and other vectors change them in other directions.

The objective is that of NoiseCLR (Dalva & Yanardag 2024), with prompts in place of images.
"""

import math

import torch
from torch import Tensor


def prompt_changes(scoped: Tensor, mask: Tensor) -> Tensor:
    """Mean Δ over the tokens of each prompt, so that prompts of different lengths compare: [V, P, d].

    Args:
        scoped: [V, N, d], Δ at the N tokens in scope of all prompts together.
        mask: [P, T] bool, the tokens in scope.
    """
    owner = mask.nonzero()[:, 0]
    shares = torch.nn.functional.one_hot(owner, mask.shape[0]).to(scoped) / mask.sum(dim=1)
    return torch.einsum("np,vnd->vpd", shares, scoped)


def log_numerator(changes: Tensor, temperature: float) -> Tensor:
    """log of the mean over pairs of prompts a ≠ b of exp(cos(Δ_k^a, Δ_k^b)/τ), for each vector k: [V].

    The numerator of the contrastive loss of NoiseCLR: 1/τ where all prompts agree.

    Args:
        changes: [V, P, d], P ≥ 2.
        temperature: τ > 0.
    """
    unit = torch.nn.functional.normalize(changes, dim=-1)
    pairs = unit @ unit.mT
    return _log_mean_exp(pairs[:, _off_diagonal(pairs)] / temperature)


def log_denominator(changes: Tensor, temperature: float) -> Tensor:
    """log of the mean over prompts a and vectors l ≠ k of exp(cos(Δ_k^a, Δ_l^a)/τ), for each vector k: [V].

    Args:
        changes: [V, P, d], V ≥ 2.
        temperature: τ > 0.
    """
    unit = torch.nn.functional.normalize(changes, dim=-1)
    others = torch.einsum("kad,lad->kla", unit, unit)
    count = len(changes)
    return _log_mean_exp(others[_off_diagonal(others[..., 0])].reshape(count, -1) / temperature)


def contrastive_loss(changes: Tensor, temperature: float) -> Tensor:
    """−log(numerator/denominator) of each vector, the loss of NoiseCLR: [V].

    It is −1/τ where δ is the same in all prompts and orthogonal to every other vector's δ. Means replace the sums, as
    in the authors' code, so that the number of prompts and vectors does not shift the loss.
    """
    return log_denominator(changes, temperature) - log_numerator(changes, temperature)


def _off_diagonal(matrices: Tensor) -> Tensor:
    size = matrices.shape[-1]
    return ~torch.eye(size, dtype=torch.bool, device=matrices.device)


def _log_mean_exp(rows: Tensor) -> Tensor:
    return torch.logsumexp(rows, dim=1) - math.log(rows.shape[1])
