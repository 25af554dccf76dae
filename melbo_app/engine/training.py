"""Trains vectors of norm R that change the target layer as much as possible."""

from collections.abc import Callable
from dataclasses import replace

import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.effect import PROBES, share_changed
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.memory import budget, bytes_per_vector
from melbo_app.engine.methods.contrast_pca import contrast_pca
from melbo_app.engine.methods.difference_of_means import difference_of_means
from melbo_app.engine.methods.jacobian import jacobian
from melbo_app.engine.methods.joint import joint
from melbo_app.engine.methods.random import random
from melbo_app.engine.methods.sequential import sequential
from melbo_app.engine.methods.soft import soft_delta, soft_theta
from melbo_app.engine.methods.transcoding import transcoding
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import CLIMBING, SATURATION, Method, TrainingConfig
from melbo_app.engine.training_result import Training
from melbo_app.engine.training_state import Keeper, TrainingState
from melbo_app.errors import InputError
from melbo_app.sizes import size_text

METHODS: dict[Method, Callable[[Ascent], Training]] = {
    "joint": joint,
    "sequential": sequential,
    "transcoding": transcoding,
    "jacobian": jacobian,
    "difference-of-means": difference_of_means,
    "contrast-pca": contrast_pca,
    "random": random,
    "soft-theta": soft_theta,
    "soft-delta": soft_delta,
}

COPIES_OF_DELTA = 4
"""Δ, its normalised copy, and the gradients of both."""
HEADROOM = 1.25
"""Saturation is at least this many times the change by random vectors."""


def with_saturation(piece: ModelSlice, config: TrainingConfig, stop: Stop | None = None) -> TrainingConfig:
    """``config`` with its saturation set, if it was None: 0.6, or 1.25 times the change by random vectors of its R.

    Training approaches the change that counts most: with a lower saturation, vectors of a large R would learn to change
    less than random ones. Raises Stopped if ``stop()`` becomes true.
    """
    if config.saturation is not None or config.method not in CLIMBING:
        return config
    rows = random_rows(min(PROBES, piece.width), piece.width, config.radius, torch.Generator().manual_seed(0))
    share = share_changed(piece, TokenScope.parse(config.scope), rows, stop)
    return replace(config, saturation=max(SATURATION, round(HEADROOM * share, 3)))


def train(
    piece: ModelSlice,
    config: TrainingConfig,
    stop: Stop | None = None,
    memory_gb: float | None = None,
    against: ModelSlice | None = None,
    keeper: Keeper | None = None,
    begun: TrainingState | None = None,
) -> Training:
    """Train vectors, yielding after every step; the generator returns the result.

    When ``stop``, which is called before each block, forwards and backwards, becomes true, the result has the vectors
    whose steps are done (sequential), or all vectors as they are (the other methods).

    Args:
        against: the prompts of the other side, for contrastive methods.
        keeper: receives the state of iterative methods.
        begun: the state to resume from. The result is bit for bit that of an uninterrupted training, unless there is
            too little memory now for a batch of the same size.

    Raises:
        InputError: more vectors than dimensions, a scope without a token, or too little memory.
    """
    config.check_width(piece.lm.hidden_size)
    scope = TokenScope.parse(config.scope)
    piece.mask(scope)  # refuses an empty scope before the first step
    sides = None if against is None else (piece.source_means(scope), against.source_means(scope))
    batch = batch_size(piece, memory_gb)
    if config.method == "soft-delta" or (config.agreement and config.agreement_form == "contrastive"):
        refuse_coupling(piece, config, memory_gb)
    if begun is not None:
        batch = min(batch, begun.batch)  # another batch size would round differently
    return METHODS[config.method](Ascent(piece, config, batch, stop or (lambda: False), sides, keeper, begun))


def batch_size(piece: ModelSlice, memory_gb: float | None = None) -> int:
    """Vectors in one forward and backward pass: as many as fit, and on a CPU at most one or two seconds' worth."""
    batch = vectors_at_once(piece, memory_gb)
    if piece.lm.device.type == "cpu":
        batch = min(batch, piece.vectors_per_pass)
    return batch


def vectors_at_once(piece: ModelSlice, memory_gb: float | None = None) -> int:
    """Vectors that fit into one forward and backward pass. Raises InputError if not even one fits."""
    need = _vector_bytes(piece)
    return _refuse_bytes(piece.lm, piece.encoded, need, memory_gb) // max(1, need)


def checked_bytes(
    lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int, memory_gb: float | None = None
) -> int:
    """Bytes that a vector takes, before the model runs on the prompts. Raises InputError if not even one fits."""
    need = bytes_per_vector(lm, encoded, source, target)
    _refuse_bytes(lm, encoded, need, memory_gb)
    return need


def _refuse_bytes(lm: LanguageModel, encoded: EncodedPrompts, need: int, memory_gb: float | None) -> int:
    """The budget in bytes. Raises InputError if it is less than ``need``."""
    have = budget(lm, memory_gb)
    if need > have:
        prompts, tokens = encoded.input_ids.shape
        problem = f"{prompts} prompts of up to {tokens} tokens need {size_text(need)} for each vector"
        remedy = "Train on fewer or shorter prompts, or bring the layers closer together"
        raise InputError("memory", f"{problem} and {size_text(have)} may be used", remedy)
    return have


def memory_note(piece: ModelSlice, config: TrainingConfig, memory_gb: float | None = None) -> str:
    """A sentence with the memory that a training needs."""
    each, have = _vector_bytes(piece), budget(piece.lm, memory_gb)
    together = 1 if config.method == "sequential" else min(config.vectors, batch_size(piece, memory_gb))
    return (
        f"Needs {size_text(each * together)} beside the model, for {together} of {config.vectors} vectors at a time; "
        f"{size_text(have)} may be used."
    )


def refuse_coupling(piece: ModelSlice, config: TrainingConfig, memory_gb: float | None = None) -> None:
    """Raises InputError if Δ of all vectors, which methods that compare vectors by Δ need at once, does not fit."""
    tokens = int(piece.mask(TokenScope.parse(config.scope)).sum())
    need = COPIES_OF_DELTA * 4 * config.vectors * tokens * piece.lm.hidden_size
    have = budget(piece.lm, memory_gb)
    if need > have:
        problem = f"Δ of {config.vectors} vectors at {tokens} tokens needs {size_text(need)}"
        remedy = "Choose fewer vectors or a smaller scope, or the method soft-theta"
        raise InputError("memory", f"{problem} and {size_text(have)} may be used", remedy)


def _vector_bytes(piece: ModelSlice) -> int:
    """Measured once, because that runs the model several times."""
    if piece.vector_bytes is None:
        piece.vector_bytes = bytes_per_vector(piece.lm, piece.encoded, piece.source, piece.target)
    return piece.vector_bytes
