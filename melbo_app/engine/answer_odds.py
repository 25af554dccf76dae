"""The log-odds of two given answers to a prompt: how much a model prefers one of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.encoding import encode, padded
from melbo_app.engine.lessons import AT_ONCE
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import Stop, asking, raise_if
from melbo_app.errors import InputError


@dataclass(frozen=True)
class Question:
    """A prompt and two answers, as tokens."""

    prompt: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]


def question(lm: LanguageModel, prompt: Prompt, first: str, second: str) -> Question:
    """The tokens of a prompt and its two answers. Without a chat template, a space stands before the answers unless the
    prompt ends in one. Raises InputError for answers that are empty or have the same tokens."""
    encoded = encode(lm, [prompt])
    space = "" if prompt.template or prompt.user[-1:].isspace() else " "
    ids = [tuple(lm.tokenizer(space + one, add_special_tokens=False)["input_ids"]) for one in (first, second)]
    for text, tokens in zip((first, second), ids, strict=True):
        if not text.strip() or not tokens:
            raise InputError("answers", f"“{text}” is empty for {lm.name}", "Write two answers, such as A and B")
    if ids[0] == ids[1]:
        raise InputError("answers", f"“{first}” and “{second}” have the same tokens", "Write two different answers")
    return Question(tuple(encoded.input_ids[0].tolist()), *ids)


def log_odds(
    lm: LanguageModel,
    questions: Sequence[Question],
    steered: tuple[int, Tensor] | None = None,
    stop: Stop | None = None,
) -> Tensor:
    """ln p(first) − ln p(second) for each question: [N] float32. For answers of one token this is the difference of
    their logits (the propensity of Tan et al. 2024); for longer ones, the sums over their tokens count.

    Args:
        steered: a block, and a vector for each question [N, d] that is added to its output at all tokens.

    Differentiable outside ``torch.no_grad``.

    Raises:
        InputError: a layer that does not exist, or a question longer than the model's context.
        Stopped: ``stop()`` became true.
    """
    found = []
    for start in range(0, len(questions), AT_ONCE):
        raise_if(stop)
        part = questions[start : start + AT_ONCE]
        rows = [*dict.fromkeys((at, answer[:-1]) for at, one in enumerate(part) for answer in (one.first, one.second))]
        with ExitStack() as stack:
            if steered is not None:
                thetas = steered[1][start : start + AT_ONCE][[at for at, _ in rows]]
                stack.enter_context(steer(lm, steered[0], add_rows(thetas)))
            read = _read(lm, part, rows)
        for at, one in enumerate(part):
            first, second = (_log_likelihood(read[at, answer[:-1]], answer) for answer in (one.first, one.second))
            found.append(first - second)
    return torch.stack(found)


def measured_odds(
    lm: LanguageModel, questions: Sequence[Question], steered: tuple[int, np.ndarray] | None, stop: Stop | None = None
) -> list[float]:
    """``log_odds`` without gradients; ``stop`` is asked before every block."""
    under = None if steered is None else (steered[0], torch.as_tensor(steered[1], dtype=torch.float32))
    with asking(lm, stop), torch.no_grad():
        return log_odds(lm, questions, under, stop).tolist()


Row = tuple[int, tuple[int, ...]]
"""The number of a question, and the tokens of an answer but for its last one: answers of one token share a row."""


def _read(lm: LanguageModel, questions: Sequence[Question], rows: Sequence[Row]) -> dict[Row, Tensor]:
    """For each row, the logarithms of the next token's probabilities after the prompt and each token behind it:
    [tokens of the answer, vocabulary] float32."""
    texts = [torch.tensor([*questions[at].prompt, *behind], device=lm.device) for at, behind in rows]
    ids, mask = padded(texts, lm.tokenizer.pad_token_id), padded([torch.ones_like(one) for one in texts])
    if lm.context is not None and ids.shape[1] > lm.context:
        problem = f"a prompt and its answer have {ids.shape[1]:,} tokens and {lm.name} reads at most {lm.context:,}"
        raise InputError("prompt", problem, "Shorten it")
    last = 1 + max(len(behind) for _, behind in rows)
    # some families compute logits for all positions
    logits = lm.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), last=last).logits[:, -last:]
    return {row: one[-len(row[1]) - 1 :].float().log_softmax(dim=-1) for row, one in zip(rows, logits, strict=True)}


def _log_likelihood(logs: Tensor, answer: Sequence[int]) -> Tensor:
    """The logarithm of an answer's probability, a scalar."""
    return logs.gather(1, torch.tensor(answer, device=logs.device)[:, None]).sum()
