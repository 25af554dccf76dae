"""How likely texts are without steering, and how far steering moves the predictions along them.

The unsteered model reads each text with the text's own tokens as input (teacher forcing). What the steered one
predicted is known from generating the text: the states that it was read out of were kept (``Trace``).
"""

import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.memory import rows_at_once
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.readout import read_out
from melbo_app.engine.reference import usual_norms
from melbo_app.engine.scope import runaway_share
from melbo_app.engine.slice import TOKENS_AT_ONCE
from melbo_app.engine.stopping import asking
from melbo_app.engine.trace import Trace

LOGITS_AT_ONCE = 2**25
"""Logits of all rows together in one forward pass: 64 MiB in bfloat16. Longer texts are read in several."""
PEAK_TOKENS = 8
"""Tokens of the stretch whose surprisal is taken: texts break in places, and a mean hides it (docs/readability.md)."""
READ_OUT_AT_ONCE = 96
"""Tokens of several texts that are read out together: their logits are in float32."""


@dataclass(frozen=True)
class Reading:
    """One text to read.

    Attributes:
        prompt: the prompt it answers, by its row in the encoded prompts.
        ids: its n tokens, without the end mark.
        states: what its predictions were read out of when it was generated, [n or more, d], at least one; None where
            nothing steered it.
        norms: [T], residual norms of the prompt's tokens at the target layer then.
    """

    prompt: int
    ids: Sequence[int]
    states: Tensor | None = None
    norms: Tensor | None = None


@dataclass(frozen=True)
class Likelihood:
    """What reading one text says. All predictions are the model's own: temperature 1, nothing cut off."""

    logprob: float | None
    """Mean log-probability of the text's tokens under the unsteered model, in nats; None for a text without tokens."""
    kl_prompt: float
    """KL(steered ‖ unsteered) of the prediction at the prompt's last position, in nats."""
    kl_text: float | None
    """The same, mean over the positions that predict the text's tokens; the prompt's last is the first of them."""
    peak_surprisal: float | None
    """Mean surprisal, −log p in nats, of the ``PEAK_TOKENS`` tokens in a row that the unsteered model expects least. In
    a shorter text the missing tokens count as certain."""
    runaway: float | None
    """Share of the prompt's tokens that steering turned into attention sinks at the target layer; None without one."""


def likelihoods(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    readings: Sequence[Reading],
    target: int | None = None,
    memory_gb: float | None = None,
    stop: Callable[[], bool] | None = None,
) -> Generator[int, None, list[Likelihood]]:
    """Read texts, as many at once as have some 2,000 tokens together; yields how many are done after each batch.

    The prompts are read once, whatever the number of texts.

    Args:
        target: the block at whose output runaways are looked for.
        stop: asked before every block of every forward pass.

    Raises:
        Stopped: ``stop()`` became true.
    """
    trace = Trace(target)
    with torch.no_grad(), asking(lm, stop), trace.watch(lm):
        prompts = lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids, use_cache=True)
    longest = max((len(reading.ids) for reading in readings), default=0)
    tokens = encoded.input_ids.shape[1] + longest
    size = max(1, min(TOKENS_AT_ONCE // max(1, longest), rows_at_once(lm, tokens, memory_gb)))
    done: list[Likelihood] = []
    for start in range(0, len(readings), size):
        batch = readings[start : start + size]
        for reading, (logprob, divergence) in zip(batch, _compare(lm, encoded, batch, prompts, stop), strict=True):
            count = len(reading.ids)
            done.append(
                Likelihood(
                    logprob=float(logprob.mean()) if count else None,
                    kl_prompt=float(divergence[0]),
                    kl_text=float(divergence[:count].mean()) if count else None,
                    peak_surprisal=peak_surprisal(logprob) if count else None,
                    runaway=None if trace.norms is None else _runaway(lm, encoded, reading, target, trace.norms),
                )
            )
        yield len(done)
    return done


def peak_surprisal(logprob: Tensor) -> float:
    """Mean surprisal of the least expected stretch of a text with the log-probabilities ``logprob`` [n]."""
    if len(logprob) <= PEAK_TOKENS:
        return float(-logprob.sum() / PEAK_TOKENS)
    return float(-logprob.unfold(0, PEAK_TOKENS, 1).mean(dim=1).min())


def _compare(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    readings: Sequence[Reading],
    prompts: Any,
    stop: Callable[[], bool] | None,
) -> list[tuple[Tensor, Tensor]]:
    """For each text the log-probabilities of its tokens [n], and KL(steered ‖ unsteered) at each of them, at least at
    the first [n or 1]. ``prompts`` is the model's output for the prompts."""
    rows = torch.tensor([reading.prompt for reading in readings], device=lm.device)
    steps = max(1, *(len(reading.ids) for reading in readings))
    texts = torch.full((len(rows), steps), lm.tokenizer.pad_token_id, dtype=torch.int64)
    for row, reading in enumerate(readings):
        texts[row, : len(reading.ids)] = torch.tensor(reading.ids, dtype=torch.int64)
    texts = texts.to(lm.device)
    mask = torch.cat([encoded.attention_mask[rows], torch.ones_like(texts)], dim=1)
    positions = encoded.position_ids[rows, -1:] + 1 + torch.arange(steps, device=lm.device)
    width = encoded.input_ids.shape[1]
    cache = copy.deepcopy(prompts.past_key_values)
    cache.reorder_cache(rows)

    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in readings]
    logits, begin = prompts.logits[rows, -1:], 0  # the first token is predicted at the prompt's last position
    at_once = max(1, LOGITS_AT_ONCE // (len(rows) * logits.shape[-1]))
    while True:
        end = begin + logits.shape[1]
        counts = [min(end, max(1, len(reading.ids))) - begin for reading in readings]
        there = [row for row, count in enumerate(counts) if count > 0]
        steered = _read_out(lm, [readings[row].states for row in there], begin, [counts[row] for row in there])
        for row, predicted in zip(there, steered, strict=True):
            parts[row].append(_compare_row(logits[row, : counts[row]], readings[row].ids[begin:end], predicted))
        if end >= steps:
            break
        begin, fed = end, slice(end - 1, min(end - 1 + at_once, steps - 1))
        with torch.no_grad(), asking(lm, stop):
            output = lm.forward(
                texts[:, fed], mask[:, : width + fed.stop], positions[:, fed], cache, True, fed.stop - fed.start
            )
        cache, logits = output.past_key_values, output.logits[:, fed.start - fed.stop :]
    return [(torch.cat([one for one, _ in part]), torch.cat([two for _, two in part])) for part in parts]


def _read_out(
    lm: LanguageModel, states: Sequence[Tensor | None], begin: int, counts: Sequence[int]
) -> Iterator[Tensor | None]:
    """The steered logits [c, vocabulary] of each text from ``begin`` on, None for one without ``states``.

    Short texts are read out together: each time, all of the unembedding goes through the processor.
    """
    group: list[tuple[Tensor | None, int]] = []
    for number, (one, count) in enumerate(zip(states, counts, strict=True)):
        group.append((None if one is None else one[begin : begin + count], count))
        if number + 1 < len(states) and sum(size for _, size in group) + counts[number + 1] <= READ_OUT_AT_ONCE:
            continue
        rows = [part for part, _ in group if part is not None]
        logits = iter(read_out(lm, torch.cat(rows)).split([len(part) for part in rows]) if rows else ())
        for part, _ in group:
            yield None if part is None else next(logits)
        group = []


def _compare_row(logits: Tensor, ids: Sequence[int], steered: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same for the tokens ``ids`` of one text, as many as there are unsteered ``logits`` [c, vocabulary] at most.

    One text at a time: in float32 the logits of all would take several times the memory.
    """
    plain = logits.float().log_softmax(dim=-1)
    tokens = torch.tensor(ids[: len(plain)], dtype=torch.int64, device=plain.device)
    logprob = plain[: len(tokens)].gather(1, tokens[:, None])[:, 0]
    if steered is None:
        return logprob.cpu(), torch.zeros(len(plain))
    steered = steered.log_softmax(dim=-1)
    chance = steered.exp()
    # where a token cannot come, both logarithms may be infinite
    terms = (chance * (steered - plain)).masked_fill(chance == 0, 0)
    return logprob.cpu(), terms.sum(dim=-1).clamp(min=0).cpu()  # rounding may leave a little less than 0


def _runaway(lm: LanguageModel, encoded: EncodedPrompts, reading: Reading, target: int | None, norms: Tensor) -> float:
    if reading.norms is None or target is None:
        return 0.0
    at = [reading.prompt]
    usual = usual_norms(lm)[target]
    return float(runaway_share(reading.norms[None].to(norms), norms[at], encoded.take(at), usual))
