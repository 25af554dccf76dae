"""What vectors do on the prompts they were trained on, and on others."""

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
from melbo_app.engine.slice import TOKENS_AT_ONCE, ModelSlice
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig

PROBES = 4
"""Random vectors by which the change at an R is told."""
PROBED = tuple(0.004 * 2.5**step for step in range(8))
"""R that are tried, in units of the median residual norm: 0.004 to 2.4."""


@dataclass(frozen=True)
class Effect:
    """What V vectors do on one set of prompts."""

    objective: list[float]
    """J of each vector, per prompt, so that sets of different sizes compare; nothing of it saturated."""
    change: list[float]
    """Mean ‖Δ‖ of the tokens in scope."""
    agreement: list[float] | None
    """Mean cosine of what two prompts change by on the average of their tokens; None where there is no pair."""
    share: list[float]
    """Mean ‖Δ‖ / ‖Z(0)‖ of the tokens in scope: what the effect budget bounds."""
    runaway: list[float]
    """Greatest share, over the prompts, of tokens that the vector turns into attention sinks at the target layer."""


def effects(
    vectors: Tensor,
    config: TrainingConfig,
    piece: ModelSlice,
    others: ModelSlice | None,
    batch: int,
    stop: Stop | None = None,
) -> Generator[int, None, tuple[Effect, Effect | None]]:
    """The effect of V vectors [V, d] on the prompts of ``piece``, and on the ``others`` that were kept out.

    Agreement counts the pairs of training prompts, and then all pairs that training did not see: those with a prompt
    that was kept out. Yields the number of vectors done between two batches.

    Raises:
        Stopped: ``stop()``, which is asked before each block, became true.
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
    """‖Δ‖ / ‖Z(0)‖, mean over V vectors [V, d] and the tokens in scope. Raises Stopped where ``stop()`` became true."""
    mask = piece.mask(scope)
    norms = piece.baseline.float().norm(dim=-1)[mask]
    at_once = max(1, TOKENS_AT_ONCE // mask.numel())
    with torch.no_grad():
        parts = thetas.to(piece.device).split(at_once)
        shares = [piece.deltas(some, stop)[:, mask].norm(dim=-1) / norms for some in parts]
    return float(torch.cat(shares).mean())


def radius_of_change(
    piece: ModelSlice, scope: TokenScope, share: float, seed: int = 0, stop: Stop | None = None
) -> float:
    """R, in units of the median residual norm, at which random vectors change the target by ``share`` of its norm.

    Four random vectors are tried at growing R; between the two around ``share`` the change is a power of R. Beyond
    what can be reached R is the largest one tried. Where the prompts have hardly a token but attention sinks, whose
    norms are too large for vectors to change much of them, these are tried on a text of our own instead.

    Raises:
        Stopped: ``stop()`` became true.
    """
    if piece.norm_is_usual:
        piece, scope = ModelSlice(piece.lm, reference(piece.lm), piece.source, piece.target), TokenScope("content")
    rows = random_rows(min(PROBES, piece.width), piece.width, piece.median_norm, torch.Generator().manual_seed(seed))
    low, below = 0.0, 0.0
    for radius in PROBED:
        found = share_changed(piece, scope, radius * rows, stop)
        if found >= share:
            if not below:
                return radius * share / found  # where little changes it is linear
            return low * (radius / low) ** (math.log(share / below) / math.log(found / below))
        low, below = radius, found
    return low
