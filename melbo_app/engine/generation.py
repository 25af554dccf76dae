"""Completions: many rows in one batch, each with its own vector, streamed as they grow."""

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
from melbo_app.engine.stopping import plain
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

    @property
    def whole(self) -> bool:
        """Whether all texts are as long as they become."""
        return self.step == self.total or all(self.finished)


class Rows:
    """What one call asks to be completed, a row for each text, and how far it is.

    Attributes:
        encoded: P prompts.
        of: [rows] int64, which prompt a row completes.
        thetas: [rows, d].
        source: the block whose output is steered; None steers nothing.
        stop: asked before every token, and before every block of the first pass.
        trace: keeps what it says of every forward pass.
        chosen: [rows] int64, the newest token of each row.
        done: whether there is nothing more to come, be it that it was stopped or failed.
        error: what went wrong for these rows alone.
    """

    def __init__(
        self,
        lm: LanguageModel,
        encoded: EncodedPrompts,
        thetas: Tensor | np.ndarray,
        source: int | None,
        decoding: Decoding,
        stop: Callable[[], bool] | None = None,
        of: Sequence[int] | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Takes and raises what ``generate`` does."""
        prompts = len(encoded.prompts)
        if of is None:
            of = [*range(prompts)] * len(thetas)
            thetas = torch.as_tensor(thetas).repeat_interleave(prompts, dim=0)
        longest = int(encoded.attention_mask.sum(dim=1).max())
        if lm.context is not None and longest + decoding.max_new_tokens > lm.context:
            raise InputError(
                "max new tokens",
                f"{decoding.max_new_tokens:,} after a prompt of {longest:,} tokens exceed the {lm.context:,} that "
                f"{lm.name} can read",
                f"Choose {lm.context - longest:,} or fewer",
            )
        self.lm, self.encoded, self.source, self.stop, self.trace = lm, encoded, source, plain(stop), trace
        self.of, self.thetas = torch.tensor(of, device=lm.device), torch.as_tensor(thetas).to(lm.device)
        self.chosen = torch.full((len(of),), lm.tokenizer.pad_token_id, device=lm.device)
        self.done = False
        self.error: Exception | None = None
        self._total, self._choose = decoding.max_new_tokens, _chooser(decoding, lm.device)
        self._ends = torch.tensor(sorted(lm.turn_end.tokens), dtype=torch.int64, device=lm.device)
        self._templated = [bool(encoded.prompts[prompt].template) for prompt in of]
        self._reads_words = bool(lm.turn_end.words) and any(self._templated)
        self._open = torch.ones(len(of), dtype=torch.bool, device=lm.device)
        self._generated: list[Tensor] = []

    @property
    def columns(self) -> int:
        """Tokens of the longest prompt and of its text so far."""
        return self.encoded.input_ids.shape[1] + len(self._generated)

    @property
    def remaining(self) -> int:
        """The most tokens that are still to come."""
        return self._total - len(self._generated)

    @property
    def begun(self) -> bool:
        """Whether there is a token."""
        return bool(self._generated)

    def take(self, logits: Tensor) -> None:
        """Choose the next token of each row from logits [rows, vocabulary]; what goes wrong is kept as ``error``."""
        try:
            self._take(logits)
        except Exception as error:
            self.done, self.error = True, error

    def _take(self, logits: Tensor) -> None:
        chosen = self._choose(logits.float())
        # closed rows go on with padding, which is cut from their texts
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
        """Of the last ``newest`` steps, the tokens of each row up to its end."""
        steps = torch.stack(self._generated[-newest:], dim=1)
        return [[token for token in row if token >= 0] for row in steps.tolist()]

    def _close_at_words(self) -> None:
        end, tokenizer = self.lm.turn_end, self.lm.tokenizer
        closed = [
            templated and end.closes(tokenizer, kept)
            for kept, templated in zip(self._kept(end.reach), self._templated, strict=True)
        ]
        self._open = self._open & ~torch.tensor(closed, device=self._open.device)


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
    rows, batch = Rows(lm, encoded, thetas, source, decoding, stop, of, trace), Batch(lm)
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
