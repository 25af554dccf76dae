"""Generates completions: many rows in one batch, each with its own vector, streamed as they grow."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.stopping import Stop, plain
from melbo_app.engine.trace import Trace
from melbo_app.errors import InputError, Stopped

STREAM_SECONDS = 0.15
"""Time between two updates: looks immediate, and detokenizing takes no noticeable time."""


@dataclass(frozen=True)
class GenerationProgress:
    """The texts so far, one for each row."""

    texts: list[str]
    tokens: list[int]
    """Number of tokens generated in each row, including the end-of-turn token."""
    ids: list[list[int]]
    """The tokens of each text, without the end-of-turn token."""
    finished: list[bool]
    """Whether the model ended the row's text."""
    step: int
    total: int

    @property
    def whole(self) -> bool:
        """Whether all texts are complete."""
        return self.step == self.total or all(self.finished)


class Rows:
    """The completions of one call, a row for each, and their state.

    Sampling adds Gumbel noise to the tempered logits and takes the largest (Gumbel-max). All rows share the noise, so
    they differ only by their vectors and prompts, and a row's text does not depend on the other rows.

    Attributes:
        of: [rows] int64, the prompt of each row.
        thetas: [rows, d].
        begins: [rows, n] int64, the tokens that were written before.
        chosen: [rows] int64, the newest token of each row.
        done: whether the rows are finished, stopped or failed.
        error: the error of these rows alone.
    """

    def __init__(
        self,
        lm: LanguageModel,
        encoded: EncodedPrompts,
        thetas: Tensor | np.ndarray,
        source: int | None,
        decoding: Decoding,
        stop: Stop | None = None,
        of: Sequence[int] | None = None,
        trace: Trace | None = None,
        written: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """
        Args:
            encoded: P prompts.
            thetas: [V, d]; a row of zeros is the baseline.
            source: the block whose output is steered; None for no steering.
            stop: called before every token, and before every block of the first pass.
            of: [V], the prompt of each vector; None: every vector on every prompt, V·P rows, vectors outermost.
            trace: records every forward pass.
            written: [V, n], the first n tokens of each text, which are continued as if they had just been chosen;
                only with ``of``.

        Raises:
            InputError: prompt and completion together exceed the model's context.
        """
        prompts = len(encoded.prompts)
        if of is None:
            of = [*range(prompts)] * len(thetas)
            thetas = torch.as_tensor(thetas).repeat_interleave(prompts, dim=0)
        longest = int(encoded.attention_mask.sum(dim=1).max())
        if lm.context is not None and longest + decoding.max_new_tokens > lm.context:
            problem = f"{decoding.max_new_tokens:,} after a prompt of {longest:,} tokens exceed the context"
            problem += f" of {lm.name}, {lm.context:,} tokens"
            raise InputError("max new tokens", problem, f"Choose {lm.context - longest:,} or fewer")
        self.lm, self.encoded, self.source, self.stop, self.trace = lm, encoded, source, plain(stop), trace
        self.of, self.thetas = torch.tensor(of, device=lm.device), torch.as_tensor(thetas).to(lm.device)
        self.begins = torch.tensor(list(written or [[]] * len(of)), dtype=torch.int64, device=lm.device)
        self.chosen = torch.full((len(of),), lm.tokenizer.pad_token_id, device=lm.device)
        self.done = False
        self.error: Exception | None = None
        self._total, self._choose = decoding.max_new_tokens, _chooser(decoding, lm.device, self.begins.shape[1])
        self._ends = torch.tensor(sorted(lm.turn_end.tokens), dtype=torch.int64, device=lm.device)
        self._templated = [bool(encoded.prompts[prompt].template) for prompt in of]
        self._reads_words = bool(lm.turn_end.words) and any(self._templated)
        self._open = torch.ones(len(of), dtype=torch.bool, device=lm.device)
        self._generated = [*self.begins.unbind(dim=1)]

    @property
    def read(self) -> tuple[EncodedPrompts, Tensor]:
        """What is read before the first token: the prompts with the tokens that are written, and which of them each row
        begins with [rows]."""
        if not self.begins.shape[1]:
            return self.encoded, self.of
        return self.encoded.followed(self.of, self.begins)

    @property
    def columns(self) -> int:
        """Tokens of the longest prompt and its text so far."""
        return self.encoded.input_ids.shape[1] + len(self._generated)

    @property
    def remaining(self) -> int:
        """The maximum number of tokens to come."""
        return self._total - len(self._generated)

    @property
    def begun(self) -> bool:
        """Whether the rows have a token of their own."""
        return len(self._generated) > self.begins.shape[1]

    def take(self, logits: Tensor) -> None:
        """Choose the next token of each row from logits [rows, vocabulary]; keeps an exception as ``error``."""
        try:
            self._take(logits)
        except Exception as error:
            self.done, self.error = True, error

    def _take(self, logits: Tensor) -> None:
        chosen = self._choose(logits.float())
        # closed rows continue with padding, which is cut from their texts
        self.chosen = torch.where(self._open, chosen, self.lm.tokenizer.pad_token_id)
        self._generated.append(torch.where(self._open, chosen, -1))
        self._open = self._open & ~torch.isin(self.chosen, self._ends)
        if self._reads_words:
            self._close_at_words()
        self.done = not self.remaining or not bool(self._open.any()) or (self.stop is not None and self.stop())

    def progress(self) -> GenerationProgress:
        """The texts so far, of one token or more."""
        rows = self._kept(len(self._generated))
        cuts = [
            self.lm.turn_end.cut(self.lm.tokenizer, kept, templated)
            for kept, templated in zip(rows, self._templated, strict=True)
        ]
        texts, written, finished = (list(column) for column in zip(*cuts, strict=True))
        return GenerationProgress(
            texts, [len(kept) for kept in rows], written, finished, len(self._generated), self._total
        )

    def _kept(self, newest: int) -> list[list[int]]:
        """The tokens of each row up to its end, of the last ``newest`` steps."""
        steps = torch.stack(self._generated[-newest:], dim=1)
        return [[token for token in row if token >= 0] for row in steps.tolist()]

    def _close_at_words(self) -> None:
        end, tokenizer = self.lm.turn_end, self.lm.tokenizer
        closed = [
            templated and end.closes(tokenizer, kept)
            for kept, templated in zip(self._kept(end.reach), self._templated, strict=True)
        ]
        self._open = self._open & ~torch.tensor(closed, device=self._open.device)


def generate(rows: Rows) -> Iterator[GenerationProgress]:
    """Complete ``rows`` in one batch. After a stop, the last progress has the texts so far; a stop before the first
    token gives no progress."""
    batch = Batch(rows.lm)
    looked = time.monotonic()
    try:
        batch.join(rows)
    except Stopped:
        return
    while True:
        if rows.error is not None:
            raise rows.error
        if rows.done or time.monotonic() - looked > STREAM_SECONDS:
            looked = time.monotonic()
            yield rows.progress()
        if rows.done:
            return
        batch.step()


def _chooser(decoding: Decoding, device: torch.device, chosen: int = 0) -> Callable[[Tensor], Tensor]:
    """A function from logits [rows, vocabulary] to token ids [rows]; ``chosen`` tokens had their noise before."""
    if decoding.temperature == 0:
        return lambda logits: logits.argmax(dim=-1)
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper  # late: seconds to import

    generator = torch.Generator().manual_seed(decoding.seed)
    warpers = [TemperatureLogitsWarper(float(decoding.temperature))]
    if decoding.top_p < 1:
        warpers.append(TopPLogitsWarper(decoding.top_p))

    def choose(logits: Tensor) -> Tensor:
        nonlocal chosen
        for warper in warpers:
            logits = warper(None, logits)
        exponential = torch.empty(logits.shape[-1])
        for _ in range(chosen):
            exponential.exponential_(generator=generator)
        chosen = 0
        exponential.exponential_(generator=generator)
        return (logits - exponential.to(device).log()).argmax(dim=-1)

    return choose
