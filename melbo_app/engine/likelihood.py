"""The likelihood of texts under the unsteered model, and how far steering moves the predictions along them.

The unsteered model reads each text with teacher forcing. The steered predictions come from the hidden states that were
kept while the text was generated (``Trace``).
"""

import copy
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.memory import rows_at_once
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.readout import read_out
from melbo_app.engine.reference import usual_norms
from melbo_app.engine.scope import runaway_share
from melbo_app.engine.slice import TOKENS_AT_ONCE
from melbo_app.engine.stopping import Stop, asking
from melbo_app.engine.trace import Trace

if TYPE_CHECKING:
    from melbo_app.engine.generation import Rows

LOGITS_AT_ONCE = 2**25
"""Logits of all rows in one forward pass: 64 MiB in bfloat16. Longer texts take several passes."""
PEAK_TOKENS = 8
"""Tokens of the window of peak surprisal: texts break in places, and a mean hides it (docs/readability.md)."""
READ_OUT_AT_ONCE = 96
"""Tokens of several texts that are read out together; their logits are float32."""


@dataclass(frozen=True)
class Reading:
    """One text to read.

    Attributes:
        prompt: the row of its prompt in the encoded prompts.
        ids: its n tokens, without the end-of-turn token.
        states: the last block's outputs that predicted its tokens, [n or more, d], at least one; None for an unsteered
            text whose states were not kept.
        norms: residual norms of the prompt's last tokens at the target layer while it was generated, [T or fewer].
        target: the block at whose output runaways are counted, if any.
        steered: whether it was steered. The states of an unsteered text are the unsteered model's own, so it is not
            read again.
    """

    prompt: int
    ids: Sequence[int]
    states: Tensor | None = None
    norms: Tensor | None = None
    target: int | None = None
    steered: bool = True


@dataclass(frozen=True)
class Likelihood:
    """The measurements of one text, at temperature 1 and without top-p."""

    logprob: float | None
    """Mean log-probability of the text's tokens under the unsteered model, in nats; None for a text without tokens."""
    kl_prompt: float
    """KL(steered ‖ unsteered) of the prediction at the prompt's last position, in nats."""
    kl_text: float | None
    """The same, averaged over the positions that predict the text's tokens, of which the prompt's last is the first."""
    peak_surprisal: float | None
    """Mean surprisal, −log p in nats, of the ``PEAK_TOKENS`` consecutive tokens that the unsteered model expects least.
    In a shorter text the missing tokens count as certain."""
    runaway: float | None
    """Share of the prompt's tokens that steering turned into attention sinks at the target layer; None without one."""


class PromptsRead:
    """P prompts, which the unsteered model reads once, and the texts that follow them."""

    def __init__(self, lm: LanguageModel, encoded: EncodedPrompts, targets: Collection[int] = ()) -> None:
        """``targets`` are the blocks at which runaways are counted."""
        self._lm, self._encoded, self._output = lm, encoded, None
        self._traces = {target: Trace(target) for target in targets}

    def read(self, readings: Sequence[Reading], stop: Stop | None = None) -> list[Likelihood]:
        """Read these texts together and measure each; the first call that needs the prompts reads them. Raises Stopped
        if ``stop()``, which is called before every block, becomes true."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        new = [at for at, reading in enumerate(readings) if reading.steered or reading.states is None]
        if new:
            asked = [readings[at] for at in new]
            found |= zip(new, _compare(self._lm, self._encoded, asked, self._prompts(stop), stop), strict=True)
        known = [at for at in range(len(readings)) if at not in found]
        states, counts = [readings[at].states for at in known], [max(1, len(readings[at].ids)) for at in known]
        for at, logits in zip(known, _read_out(self._lm, states, 0, counts), strict=True):
            assert logits is not None
            found[at] = _compare_row(logits, readings[at].ids, None)
        return [
            Likelihood(
                logprob=float(logprob.mean()) if reading.ids else None,
                kl_prompt=float(divergence[0]),
                kl_text=float(divergence[: len(reading.ids)].mean()) if reading.ids else None,
                peak_surprisal=peak_surprisal(logprob) if reading.ids else None,
                runaway=None if reading.target is None else self._runaway(reading, reading.target),
            )
            for reading, (logprob, divergence) in ((one, found[at]) for at, one in enumerate(readings))
        ]

    def _prompts(self, stop: Stop | None) -> Any:
        if self._output is None:
            encoded = self._encoded
            with torch.no_grad(), ExitStack() as hooks:
                hooks.enter_context(asking(self._lm, stop))
                for trace in self._traces.values():
                    hooks.enter_context(trace.watch(self._lm))
                self._output = self._lm.forward(
                    encoded.input_ids, encoded.attention_mask, encoded.position_ids, use_cache=True
                )
        return self._output

    def _runaway(self, reading: Reading, target: int) -> float:
        norms = self._traces[target].norms
        if reading.norms is None or norms is None:
            return 0.0
        at = [reading.prompt]
        steered = torch.zeros_like(norms[at])
        steered[0, -len(reading.norms) :] = reading.norms.to(norms)
        return float(runaway_share(steered, norms[at], self._encoded.take(at), usual_norms(self._lm)[target]))


def readings_of(rows: "Rows") -> list[Reading]:
    """The completed texts of ``rows`` with their traces, to be read back."""
    trace = rows.trace
    assert trace is not None, "reading texts back needs their trace"
    states, of = trace.stacked(), rows.of.tolist()
    readings = []
    for row, (ids, moved) in enumerate(zip(rows.progress().ids, rows.thetas.any(dim=1).tolist(), strict=True)):
        steered = rows.source is not None and moved
        norms = trace.norms[row] if steered and trace.norms is not None else None
        readings.append(Reading(of[row], ids, states[row], norms, trace.target, steered))
    return readings


def texts_at_once(lm: LanguageModel, columns: int, longest: int, memory_gb: float | None) -> int:
    """Texts of at most ``longest`` tokens, after prompts of ``columns`` tokens, that are read in one pass."""
    return max(1, min(TOKENS_AT_ONCE // max(1, longest), rows_at_once(lm, columns + longest, memory_gb)))


def likelihoods(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    readings: Sequence[Reading],
    target: int | None = None,
    memory_gb: float | None = None,
    stop: Stop | None = None,
) -> Generator[int, None, list[Likelihood]]:
    """Read texts in batches of some 2,000 tokens, and the prompts once; yields the number of texts done after each.

    Args:
        target: the block at whose output runaways are counted.
        stop: called before every block of every forward pass.

    Raises:
        Stopped: ``stop()`` became true.
    """
    prompts = PromptsRead(lm, encoded, () if target is None else (target,))
    longest = max((len(reading.ids) for reading in readings), default=0)
    size = texts_at_once(lm, encoded.input_ids.shape[1], longest, memory_gb)
    done: list[Likelihood] = []
    for start in range(0, len(readings), size):
        batch = [replace(reading, target=target) for reading in readings[start : start + size]]
        done += prompts.read(batch, stop)
        yield len(done)
    return done


def peak_surprisal(logprob: Tensor) -> float:
    """Mean surprisal of the least expected window of a text with the log-probabilities ``logprob`` [n]."""
    if len(logprob) <= PEAK_TOKENS:
        return float(-logprob.sum() / PEAK_TOKENS)
    return float(-logprob.unfold(0, PEAK_TOKENS, 1).mean(dim=1).min())


def _compare(
    lm: LanguageModel, encoded: EncodedPrompts, readings: Sequence[Reading], prompts: Any, stop: Stop | None
) -> list[tuple[Tensor, Tensor]]:
    """For each text the log-probabilities of its tokens [n], and KL(steered ‖ unsteered) at each of them [n, at least
    1]. ``prompts`` is the model's output for the prompts."""
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
    """The steered logits [c, vocabulary] of each text from ``begin`` on, None for one without ``states``. Short texts
    are read out together, because each pass has to load the whole unembedding."""
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
    """As ``_compare`` for one text with the unsteered ``logits`` [c, vocabulary] and at most c tokens ``ids``. One text
    at a time, because the float32 logits of all would take several times the memory."""
    plain = logits.float().log_softmax(dim=-1)
    tokens = torch.tensor(ids[: len(plain)], dtype=torch.int64, device=plain.device)
    logprob = plain[: len(tokens)].gather(1, tokens[:, None])[:, 0]
    if steered is None:
        return logprob.cpu(), torch.zeros(len(plain))
    steered = steered.log_softmax(dim=-1)
    chance = steered.exp()
    # both logarithms may be infinite for an impossible token
    terms = (chance * (steered - plain)).masked_fill(chance == 0, 0)
    return logprob.cpu(), terms.sum(dim=-1).clamp(min=0).cpu()  # rounding may go slightly below 0
