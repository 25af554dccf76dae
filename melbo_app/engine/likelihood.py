"""How likely texts are without steering, and how far steering moves the predictions along them.

The model reads each text twice, as it is and steered, with the text's own tokens as input (teacher forcing).
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.memory import rows_at_once
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.scope import runaway_share
from melbo_app.engine.slice import TOKENS_AT_ONCE
from melbo_app.engine.steering import add_rows, steer
from melbo_app.errors import Stopped

LOGITS_AT_ONCE = 2**25
"""Logits of all rows together in one forward pass: 64 MiB in bfloat16. Longer texts are read in several."""


@dataclass(frozen=True)
class Likelihood:
    """What the two readings of one text say. All predictions are the model's own: temperature 1, nothing cut off."""

    logprob: float | None
    """Mean log-probability of the text's tokens under the unsteered model, in nats; None for a text without tokens."""
    kl_prompt: float
    """KL(steered ‖ unsteered) of the prediction at the prompt's last position, in nats."""
    kl_text: float | None
    """The same, mean over the positions that predict the text's tokens (the prompt's last is the first of them)."""
    runaway: float | None
    """Share of the prompt's tokens that steering turns into attention sinks at the target layer; None without one."""


@dataclass(frozen=True)
class Reading:
    """One text to read: the prompt it answers (its row in the encoded prompts), its tokens, and what steered it [d]."""

    prompt: int
    ids: Sequence[int]
    theta: Tensor


def likelihoods(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    readings: Sequence[Reading],
    source: int | None,
    target: int | None = None,
    memory_gb: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Generator[int, None, list[Likelihood]]:
    """Read texts back, as many at once as have some 2,000 tokens together; yields how many are done.

    Args:
        source: the block whose output is steered; None where nothing is.
        target: the block at whose output runaways are looked for.
        stop: asked before every forward pass.

    Raises:
        Stopped: ``stop()`` became true.
    """
    done: list[Likelihood] = []
    tokens = encoded.input_ids.shape[1] + max((len(reading.ids) for reading in readings), default=0)
    # half: each text is in memory twice, steered and not
    size = max(1, min(TOKENS_AT_ONCE // tokens, rows_at_once(lm, tokens, memory_gb) // 2))
    for start in range(0, len(readings), size):
        done += _read(lm, encoded, readings[start : start + size], source, target, stop)
        yield len(done)
    return done


def _read(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    readings: Sequence[Reading],
    source: int | None,
    target: int | None,
    stop: Callable[[], bool] | None,
) -> list[Likelihood]:
    rows, lengths = len(readings), [len(reading.ids) for reading in readings]
    prompts = encoded.take([reading.prompt for reading in readings])
    width, steps = prompts.input_ids.shape[1], max(1, *lengths)
    texts = torch.full((rows, steps), lm.tokenizer.pad_token_id, dtype=torch.int64)
    for row, reading in enumerate(readings):
        texts[row, : lengths[row]] = torch.tensor(reading.ids, dtype=torch.int64)
    texts = texts.to(lm.device)
    # the first token is predicted at the prompt's last position, and the last token predicts nothing
    ids = torch.cat([prompts.input_ids, texts[:, :-1]], dim=1)
    mask = torch.cat([prompts.attention_mask, torch.ones_like(texts[:, :-1])], dim=1)
    after = torch.arange(1, steps, device=lm.device)
    positions = torch.cat([prompts.position_ids, prompts.position_ids[:, -1:] + after], dim=1)
    method = add_rows(torch.stack([reading.theta for reading in readings]).to(lm.device))

    at_once = max(1, LOGITS_AT_ONCE // (rows * lm.model.config.get_text_config().vocab_size))
    caches: list[Any] = [None, None]
    norms: list[Tensor] = []
    logprobs, divergences = [], []
    for first in range(0, steps, at_once):
        last = min(first + at_once, steps)
        part = slice(width - 1 + first if first else 0, width - 1 + last)
        logits: list[Tensor] = []
        ways: list[AbstractContextManager[None]] = [nullcontext()]
        if source is not None:
            ways.append(steer(lm, source, method))
        for turn, way in enumerate(ways):
            if stop is not None and stop():
                raise Stopped
            with torch.no_grad(), way, _norms_kept(lm, target if first == 0 else None, norms):
                output = lm.forward(
                    ids[:, part], mask[:, : part.stop], positions[:, part], caches[turn], at_once < steps, last - first
                )
            caches[turn] = output.past_key_values
            logits.append(output.logits[:, first - last :])
        logprob, divergence = _compare(logits[0], logits[-1], texts[:, first:last])
        logprobs.append(logprob)
        divergences.append(divergence)
    logprob, divergence = torch.cat(logprobs, dim=1).cpu(), torch.cat(divergences, dim=1).cpu()
    shares = runaway_share(norms[-1][:, :width], norms[0][:, :width], prompts).tolist() if norms else [None] * rows
    return [
        Likelihood(
            logprob=float(logprob[row, :length].mean()) if length else None,
            kl_prompt=float(divergence[row, 0]),
            kl_text=float(divergence[row, :length].mean()) if length else None,
            runaway=shares[row],
        )
        for row, length in enumerate(lengths)
    ]


def _compare(plain: Tensor, steered: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of ``tokens`` [rows, n] by ``plain``, and KL(steered ‖ plain): [rows, n] each, in float32.

    Args:
        plain, steered: logits [rows, n, vocabulary].
    """
    logprobs, divergences = [], []
    for row in range(len(tokens)):  # one at a time: in float32 all of them would take several times the memory
        ours = plain[row].float().log_softmax(dim=-1)
        theirs = steered[row].float().log_softmax(dim=-1)
        logprobs.append(ours.gather(1, tokens[row, :, None])[:, 0])
        chance = theirs.exp()
        # where a token cannot come, both logarithms may be infinite
        terms = (chance * (theirs - ours)).masked_fill(chance == 0, 0)
        divergences.append(terms.sum(dim=-1).clamp(min=0))  # rounding may leave a little less than 0
    return torch.stack(logprobs), torch.stack(divergences)


@contextmanager
def _norms_kept(lm: LanguageModel, layer: int | None, kept: list[Tensor]) -> Iterator[None]:
    """While this is open, the residual norms [rows, tokens] at the output of block ``layer`` are added to ``kept``."""
    if layer is None:
        yield
        return

    def keep(_module: Any, _args: tuple, output: Any) -> None:
        kept.append(hidden_of(output).float().norm(dim=-1))

    handle = lm.block("target layer", layer).register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
