"""The effect of vectors on the prompts they were trained on, and on held-out ones."""

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from melbo_app.engine.agreement import prompt_changes
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.reference import reference, usual_norms
from melbo_app.engine.scope import TokenScope, runaway_share
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig

PROBES = 4
"""Random vectors that measure the change at an R."""
PROBED = tuple(0.004 * 2.5**step for step in range(8))
"""The R that are tried, in units of the median residual norm: 0.004 to 2.4."""


@dataclass(frozen=True)
class Effect:
    """The effect of each of V vectors on one set of prompts."""

    objective: list[float]
    """J without saturation, divided by the number of prompts, so that sets of different sizes compare."""
    change: list[float]
    """Mean ‖Δ‖ over the tokens in scope."""
    agreement: list[float] | None
    """Mean cosine between two prompts' Δ, each averaged over its tokens; None without a pair."""
    share: list[float]
    """Mean ‖Δ‖ / ‖Z(0)‖ over the tokens in scope: the effect budget bounds it."""
    runaway: list[float]
    """Largest share of a prompt's tokens that the vector turns into attention sinks at the target layer."""


def effects(
    vectors: Tensor,
    config: TrainingConfig,
    piece: ModelSlice,
    others: ModelSlice | None,
    batch: int,
    stop: Stop | None = None,
) -> Generator[int, None, tuple[Effect, Effect | None]]:
    """The effect of V vectors [V, d] on the prompts of ``piece``, and on the held-out ones of ``others``.

    Agreement is over the pairs of training prompts, and over all pairs with a held-out prompt. Yields the number of
    vectors done between two batches. Raises Stopped if ``stop()``, which is called before each block, becomes true.
    """
    scope = TokenScope.parse(config.scope)
    objective = PowerObjective(config.p, config.p if config.q is None else config.q)
    pieces = [piece] if others is None else [piece, others]
    parts: list[list[tuple[Tensor, ...]]] = [[] for _ in pieces]
    quiet = [each.baseline.float().norm(dim=-1) for each in pieces]
    done = 0
    for chunk in vectors.split(batch):
        if done:
            yield done
        for found, where, norms in zip(parts, pieces, quiet, strict=True):
            mask = where.mask(scope)
            with torch.no_grad():
                deltas = where.deltas(chunk.to(where.source_hidden.device), stop)
                scoped = deltas[:, mask]
                values = objective(deltas, mask) / len(mask)
                loud = (deltas + where.baseline.float()).norm(dim=-1)
                usual = usual_norms(where.lm)[where.target]
                shares = torch.stack([runaway_share(row, norms, where.encoded, usual) for row in loud])
            lengths = scoped.norm(dim=-1)
            parts_of_norm = (lengths / norms[mask]).mean(dim=1)
            facts = values, lengths.mean(dim=1), prompt_changes(scoped, mask), parts_of_norm, shares.amax(dim=1)
            found.append(tuple(fact.cpu() for fact in facts))
        done += len(chunk)
    sums = [[torch.cat(part) for part in zip(*found, strict=True)] for found in parts]
    known = len(piece.encoded.prompts)
    changes = torch.cat([entry[2] for entry in sums], dim=1)
    unit = torch.nn.functional.normalize(changes, dim=-1)
    cosines = unit @ unit.mT
    count = cosines.shape[1]
    first, second = torch.triu_indices(count, count, offset=1)
    results = []
    for place, (values, lengths, _, relative, shares) in enumerate(sums):
        counted = (second < known) if place == 0 else (second >= known)
        pairs = cosines[:, first[counted], second[counted]]
        agreement = pairs.mean(dim=1).tolist() if pairs.shape[1] else None
        results.append(Effect(values.tolist(), lengths.tolist(), agreement, relative.tolist(), shares.tolist()))
    return results[0], results[1] if others is not None else None


def share_changed(piece: ModelSlice, scope: TokenScope, thetas: Tensor, stop: Stop | None = None) -> float:
    """Mean ‖Δ‖ / ‖Z(0)‖ over V vectors [V, d] and the tokens in scope. Raises Stopped if ``stop()`` becomes true."""
    mask = piece.mask(scope)
    norms = piece.baseline.float().norm(dim=-1)[mask]
    with torch.no_grad():
        parts = thetas.to(piece.device).split(piece.vectors_per_pass)
        shares = [piece.deltas(part, stop)[:, mask].norm(dim=-1) / norms for part in parts]
    return float(torch.cat(shares).mean())


def radius_of_change(piece: ModelSlice, scope: TokenScope, share: float, stop: Stop | None = None) -> float:
    """R, in units of the median residual norm, at which random vectors change the target by ``share`` of its norm.

    Tries four random vectors at growing R and interpolates by a power law around ``share``; returns the largest R tried
    if none reaches it. Prompts with hardly a token but attention sinks, which vectors change little relative to their
    large norms, are replaced by a reference text. Raises Stopped if ``stop()`` becomes true.
    """
    if piece.norm_is_usual:
        piece, scope = ModelSlice(piece.lm, reference(piece.lm), piece.source, piece.target), TokenScope("content")
    rows = random_rows(min(PROBES, piece.width), piece.width, piece.median_norm, torch.Generator().manual_seed(0))
    low, below = 0.0, 0.0
    for radius in PROBED:
        found = share_changed(piece, scope, radius * rows, stop)
        if found >= share:
            if not below:
                return radius * share / found  # small changes are linear in R
            return low * (radius / low) ** (math.log(share / below) / math.log(found / below))
        low, below = radius, found
    return low
