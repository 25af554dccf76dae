"""Trains rank-1 adapters, writes texts under them, and turns them into LoRA files."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from melbo_app.engine.adapter_band import AdapterBand
from melbo_app.engine.ascent import Ascent
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import GenerationProgress, Rows, generate
from melbo_app.engine.lessons import Answer
from melbo_app.engine.lora import new_lora
from melbo_app.engine.methods.transcoding import transcoding
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.engine.training import batch_size
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.engine.training_result import Training


def train_adapters(
    band: AdapterBand,
    *,
    count: int,
    radius: float,
    steps: int,
    scope: str,
    seed: int,
    stop: Stop | None = None,
    memory_gb: float | None = None,
) -> Training:
    """``count`` adapters by deep causal transcoding with exponentials (Mack 2024), on the weights of a band of layers
    in place of one layer's output: orthogonalised gradient iteration, with ‖ΔWₗ‖ = ``radius`` after each step.

    The result's vectors are the adapters [count, n], ordered by α. Raises InputError as ``train`` does.
    """
    piece, norm = band.piece, band.norm(radius)
    config = TrainingConfig(piece.source, piece.target, norm, count, "transcoding", steps, scope=scope, seed=seed)
    ascent = Ascent(band, config, batch_size(piece, memory_gb), stop or (lambda: False))
    # a and b may both change their signs
    return transcoding(ascent, partial(band.shaped, radius=radius), signed=False)


def texts_under(
    band: AdapterBand, rows: Tensor, prompts: Sequence[int], decoding: Decoding, stop: Stop | None = None
) -> GenerationProgress | None:
    """The texts of adapters ``rows`` [N, n], each on the prompt of this number; None after a stop before the first
    token. A row of zeros is the model as it is."""
    piece = band.piece
    nothing = torch.zeros(len(rows), piece.lm.hidden_size)  # at the source, from which on each row is read for itself
    with torch.no_grad(), band.on(rows):
        found = [*generate(Rows(piece.lm, piece.encoded, nothing, piece.source, decoding, stop, of=prompts))]
    return found[-1] if found else None


def answers_under(band: AdapterBand, rows: Tensor, decoding: Decoding, stop: Stop | None = None) -> list[list[Answer]]:
    """For each prompt its answers under the adapters ``rows`` [N, n]. Raises Stopped."""
    prompts = len(band.piece.encoded.prompts)
    asked = [*range(prompts)] * len(rows)
    found = texts_under(band, rows.repeat_interleave(prompts, dim=0), asked, decoding, stop)
    raise_if(stop)
    assert found is not None, "nobody stopped it"
    answers = [*map(Answer, found.texts, map(tuple, found.ids), found.finished)]
    return [answers[prompt::prompts] for prompt in range(prompts)]


def shares_changed(band: AdapterBand, rows: Tensor, scope: TokenScope, stop: Stop | None = None) -> list[float]:
    """Of each adapter [N, n], the mean ‖Δ‖ / ‖Z(0)‖ over the tokens in scope. Raises Stopped."""
    mask = band.mask(scope)
    norms = band.baseline.float().norm(dim=-1)[mask]
    with torch.no_grad():
        parts = [band.deltas(part, stop)[:, mask].norm(dim=-1) for part in rows.split(band.piece.vectors_per_pass)]
    return (torch.cat(parts) / norms).mean(dim=1).tolist()


def lora_files(band: AdapterBand, rows: Tensor, base: str) -> list[dict[str, bytes]]:
    """For each adapter the two files of a LoRA of rank 1 that changes the weights as it does; ``base`` is the spec of
    its model."""
    found = []
    with new_lora(band.piece.lm, 1, 1, band.names, 0) as lora:
        for row in rows.split(1):
            lora.take({name: (a, b.T) for name, (a, b) in zip(band.names, band.parts(row), strict=True)})
            found.append(lora.files(base))
    return found
