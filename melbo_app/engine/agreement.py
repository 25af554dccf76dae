"""Agreement: whether a vector changes all prompts in the same direction, and other vectors' prompts in another one."""

import math

import torch
from torch import Tensor


def prompt_changes(scoped: Tensor, mask: Tensor) -> Tensor:
    """What each prompt changes by on the average of its tokens: [V, P, d].

    The mean makes prompts of different lengths comparable.

    Args:
        scoped: [V, N, d], Δ at the N tokens in scope of all prompts together.
        mask: [P, T] bool, the tokens in scope.
    """
    owner = mask.nonzero()[:, 0]
    shares = torch.nn.functional.one_hot(owner, mask.shape[0]).to(scoped) / mask.sum(dim=1)
    return torch.einsum("np,vnd->vpd", shares, scoped)


def mean_cosine(changes: Tensor) -> Tensor:
    """Mean cosine over the pairs of prompts, of each vector: [V]. ``changes`` is [V, P, d], P ≥ 2."""
    pairs = _prompt_cosines(changes)
    return pairs[:, _off_diagonal(pairs)].mean(dim=1)


def log_numerator(changes: Tensor, temperature: float) -> Tensor:
    """log of the mean over pairs of prompts of exp(cos(Δ_k^a, Δ_k^b)/τ), for each vector k: [V].

    The numerator of the contrastive loss of NoiseCLR (Dalva & Yanardag 2024): 1/τ where all prompts agree.

    Args:
        changes: [V, P, d], P ≥ 2.
        temperature: τ > 0.
    """
    pairs = _prompt_cosines(changes)
    return _log_mean_exp(pairs[:, _off_diagonal(pairs)] / temperature)


def log_denominator(changes: Tensor, temperature: float) -> Tensor:
    """log of the mean over prompts a and other vectors l ≠ k of exp(cos(Δ_k^a, Δ_l^a)/τ): [V].

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

    It is −1/τ where δ is the same in all prompts and orthogonal to that of every other vector. Sums are means here, as
    in the authors' code, so that the number of prompts and vectors does not shift it.
    """
    return log_denominator(changes, temperature) - log_numerator(changes, temperature)


def _prompt_cosines(changes: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(changes, dim=-1)
    return unit @ unit.mT


def _off_diagonal(matrices: Tensor) -> Tensor:
    size = matrices.shape[-1]
    return ~torch.eye(size, dtype=torch.bool, device=matrices.device)


def _log_mean_exp(rows: Tensor) -> Tensor:
    return torch.logsumexp(rows, dim=1) - math.log(rows.shape[1])
