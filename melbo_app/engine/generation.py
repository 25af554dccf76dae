"""Completions: many rows in one batch, each with its own vector, streamed as they grow."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prefill import prefill
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.trace import Trace
from melbo_app.errors import InputError, Stopped

STREAM_SECONDS = 0.15
"""Time between two looks at growing texts: quick to the eye, and detokenizing costs nothing noticeable."""


@dataclass(frozen=True)
class GenerationProgress:
    """Texts so far, one a row."""

    texts: list[str]
    tokens: list[int]
    """Tokens generated in each row, the end mark included."""
    ids: list[list[int]]
    """The tokens of each text, without the end mark."""
    finished: list[bool]
    """Whether the model ended the row's text by itself."""
    step: int
    total: int


def generate(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    thetas: Tensor | np.ndarray,
    source: int | None,
    decoding: Decoding,
    stop: Callable[[], bool] | None = None,
    of: Sequence[int] | None = None,
    trace: Trace | None = None,
) -> Iterator[GenerationProgress]:
    """Complete P prompts under vectors, all rows in one batch.

    Sampling adds Gumbel noise to the tempered logits and takes the largest (Gumbel-max), with the same noise in each
    row: rows differ by their vectors and prompts alone, and a row's text does not depend on the rows beside it.

    Args:
        thetas: [V, d]; a row of zeros is the baseline.
        source: the block whose output is steered; None steers nothing.
        stop: asked before every token, and before every block of the first pass; when true, the texts so far are the
            last progress, and where there are none yet there is no progress.
        of: [V], which prompt each vector is for; None: each vector for each prompt, V·P rows, vectors outermost.
        trace: keeps what it says of every forward pass.

    Raises:
        InputError: prompt and completion together exceed the model's context.
    """
    prompts = len(encoded.prompts)
    if of is None:
        of = [*range(prompts)] * len(thetas)
        thetas = torch.as_tensor(thetas).repeat_interleave(prompts, dim=0)
    rows_of, thetas = torch.tensor(of, device=lm.device), torch.as_tensor(thetas).to(lm.device)
    longest = int(encoded.attention_mask.sum(dim=1).max())
    if lm.context is not None and longest + decoding.max_new_tokens > lm.context:
        raise InputError(
            "max new tokens",
            f"{decoding.max_new_tokens:,} after a prompt of {longest:,} tokens exceed the {lm.context:,} that "
            f"{lm.name} can read",
            f"Choose {lm.context - longest:,} or fewer",
        )
    ends = _end_tokens(lm)
    choose = _chooser(decoding, lm.device)
    rows = len(of)
    attention_mask = encoded.attention_mask.to(lm.device)[rows_of]
    position_ids = encoded.position_ids.to(lm.device)[rows_of, -1:]
    open_rows = torch.ones(rows, dtype=torch.bool, device=lm.device)
    generated: list[Tensor] = []
    looked = time.monotonic()
    try:
        logits, cache = prefill(lm, encoded, rows_of, thetas, source, stop, trace)
    except Stopped:
        return
    for step in range(1, decoding.max_new_tokens + 1):
        chosen = choose(logits.float())
        # closed rows go on with padding, which is cut from their texts
        chosen = torch.where(open_rows, chosen, lm.tokenizer.pad_token_id)
        generated.append(torch.where(open_rows, chosen, -1))
        open_rows = open_rows & ~torch.isin(chosen, ends)
        done = step == decoding.max_new_tokens or not bool(open_rows.any()) or (stop is not None and stop())
        if done or time.monotonic() - looked > STREAM_SECONDS:
            looked = time.monotonic()
            yield _progress(lm, torch.stack(generated, dim=1), ends, step, decoding.max_new_tokens)
        if done:
            return
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(rows, 1)], dim=1)
        position_ids = position_ids + 1
        steering = nullcontext() if source is None else steer(lm, source, add_rows(thetas))
        watching = nullcontext() if trace is None else trace.watch(lm)
        # in this order: steering may be at the block that is watched
        with torch.no_grad(), steering, watching:
            output = lm.forward(chosen[:, None], attention_mask, position_ids, cache, use_cache=True)
        logits, cache = output.logits[:, -1], output.past_key_values


def _chooser(decoding: Decoding, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Takes logits [rows, vocabulary] and returns token ids [rows]."""
    if decoding.temperature == 0:
        return lambda logits: logits.argmax(dim=-1)
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper  # late: seconds to import

    generator = torch.Generator().manual_seed(decoding.seed)
    warpers = [TemperatureLogitsWarper(float(decoding.temperature))]
    if decoding.top_p < 1:
        warpers.append(TopPLogitsWarper(decoding.top_p))

    def choose(logits: Tensor) -> Tensor:
        for warper in warpers:
            logits = warper(None, logits)
        exponential = torch.empty(logits.shape[-1]).exponential_(generator=generator)
        return (logits - exponential.to(device).log()).argmax(dim=-1)

    return choose


def _end_tokens(lm: LanguageModel) -> Tensor:
    """Ids of the tokens that end a text."""
    config = getattr(lm.model, "generation_config", None)
    known = getattr(config, "eos_token_id", None)
    ids = [] if known is None else known if isinstance(known, list) else [known]
    if lm.tokenizer.eos_token_id is not None:
        ids = [*ids, lm.tokenizer.eos_token_id]
    return torch.tensor(sorted(set(ids)), dtype=torch.int64, device=lm.device)


def _progress(lm: LanguageModel, ids: Tensor, ends: Tensor, step: int, total: int) -> GenerationProgress:
    texts, counts, written, finished = [], [], [], []
    end_ids = set(ends.tolist())
    for row in ids.tolist():
        kept = [token for token in row if token >= 0]
        ended = bool(kept) and kept[-1] in end_ids
        counts.append(len(kept))
        finished.append(ended)
        written.append(kept[:-1] if ended else kept)
        texts.append(lm.tokenizer.decode(written[-1], skip_special_tokens=True))
    return GenerationProgress(texts, counts, written, finished, step, total)
