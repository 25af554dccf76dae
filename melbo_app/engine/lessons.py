"""Fine-tuning on lessons: prompts, and the tokens of their answers."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode, padded
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.lora import Lora
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.engine.training_state import Keeper, TrainingState

AT_ONCE = 32
"""Texts that are written or read together."""
WARM_UP, CLIP = 0.1, 1.0
"""Share of the steps in which the rate rises; largest norm of a gradient."""
STAGE = "fine-tuning"


@dataclass(frozen=True)
class Lesson:
    """A prompt and its answer, as tokens; the answer includes the end of the turn if it is finished."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What a model answers greedily: the text, its tokens without the end of the turn, and whether it ended."""

    text: str
    ids: tuple[int, ...]
    finished: bool

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.ids)


def answers(
    lm: LanguageModel,
    texts: Sequence[str | Prompt],
    tokens: int,
    stop: Stop | None = None,
    steered: tuple[int, Tensor | np.ndarray] | None = None,
) -> Generator[int, None, list[Answer]]:
    """The greedy answers to ``texts``, those that are no prompts in the usual template; yields how many are done.

    Args:
        steered: a block, and a vector for each text [N, d] that is added to its output; None: no steering.

    Raises:
        InputError: a text that the model cannot read.
        Stopped: ``stop()`` became true.
    """
    source, thetas = steered or (None, torch.zeros(len(texts), lm.hidden_size))
    found: list[Answer] = []
    for start in range(0, len(texts), AT_ONCE):
        part = [
            one if isinstance(one, Prompt) else Prompt(one, template=lm.usual_template)
            for one in texts[start : start + AT_ONCE]
        ]
        encoded, vectors = encode(lm, part, stop), thetas[start : start + AT_ONCE]
        rows = Rows(lm, encoded, vectors, source, Decoding(tokens), stop, of=range(len(part)))
        for progress in generate(rows):
            whole = progress
        raise_if(stop)
        found += map(Answer, whole.texts, map(tuple, whole.ids), whole.finished)
        yield len(found)
    return found


def lesson(lm: LanguageModel, text: str, answer: str | Answer, finished: bool = True) -> Lesson:
    """The lesson to answer ``text`` with ``answer``; ``finished``: and to end there."""
    encoded = encode(lm, [Prompt(text, template=lm.usual_template)])
    if isinstance(answer, Answer):
        ids, finished = [*answer.ids], answer.finished
    else:
        ids = lm.tokenizer(answer, add_special_tokens=False)["input_ids"]
    return Lesson(tuple(encoded.input_ids[0].tolist()), tuple(ids + (_end(lm) if finished else [])))


Loss = Callable[[Sequence[Lesson], int], Tensor]
"""The loss of the lessons of a step, a scalar to be minimised, and the number of the step, from 0."""


def fine_tune(
    lm: LanguageModel,
    lora: Lora,
    lessons: Sequence[Lesson],
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    stop: Stop | None = None,
    loss: Loss | None = None,
    keep: Keeper | None = None,
    state: TrainingState | None = None,
) -> Generator[tuple[int, float], None, list[float]]:
    """Train ``lora``, which is in ``lm``, by AdamW to give the answers; yields each step and its loss, and returns all
    losses: nats per token of the answers, unless another ``loss`` is minimised. The rate rises, and then falls to 0.
    ``keep`` is called after each step, and ``state`` resumes from one that it was given. Raises Stopped."""
    parameters = lora.parameters
    for one in parameters:
        one.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    rising = max(1, round(WARM_UP * steps))
    order = _order(len(lessons), seed)
    losses = [] if state is None else _resumed(parameters, optimiser, state)
    began = time.monotonic() - (0 if state is None else state.seconds)
    for _ in range(batch * len(losses)):
        next(order)
    for step in range(len(losses), steps):
        raise_if(stop)
        share = min((step + 1) / rising, (steps - step) / max(1, steps - rising))
        for group in optimiser.param_groups:
            group["lr"] = rate * share
        drawn = [lessons[next(order)] for _ in range(batch)]
        with torch.enable_grad():
            found = surprisals(lm, drawn, stop).mean() if loss is None else loss(drawn, step)
            optimiser.zero_grad()
            found.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
        losses.append(float(found.detach()))
        if keep is not None:
            keep(lambda: _state(parameters, optimiser, losses, batch, time.monotonic() - began))
        yield step + 1, losses[-1]
    return losses


def _state(
    parameters: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer, losses: Sequence[float], batch: int,
    seconds: float,
) -> TrainingState:  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for number, one in enumerate(parameters):
        moments = optimiser.state[one]
        tensors |= {
            f"weights.{number}": one.detach().clone(),
            f"first.{number}": moments["exp_avg"].clone(),
            f"second.{number}": moments["exp_avg_sq"].clone(),
        }
    facts = {"losses": [*losses]}
    return TrainingState(STAGE, tensors, facts, [], batch, torch.zeros(0, dtype=torch.uint8), seconds)


def _resumed(parameters: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer, state: TrainingState) -> list[float]:
    """Put the state into the LoRA and its optimiser; returns the losses so far."""
    losses = [*state.facts["losses"]]
    for number, one in enumerate(parameters):
        one.data.copy_(state.tensors[f"weights.{number}"])
        optimiser.state[one] = {
            "step": torch.tensor(float(len(losses))),
            "exp_avg": state.tensors[f"first.{number}"].to(one),
            "exp_avg_sq": state.tensors[f"second.{number}"].to(one),
        }
    return losses


@torch.no_grad()
def loss_on(lm: LanguageModel, lessons: Sequence[Lesson], stop: Stop | None = None) -> float:
    """The surprisal of the answers, in nats per token, as a mean over all tokens."""
    parts = [surprisals(lm, lessons[start : start + AT_ONCE], stop) for start in range(0, len(lessons), AT_ONCE)]
    return float(torch.cat(parts).mean())


def surprisals(lm: LanguageModel, lessons: Sequence[Lesson], stop: Stop | None = None) -> Tensor:
    """The surprisal in nats of each token of the answers, one lesson after the other: [N] float32, differentiable.
    Raises Stopped."""
    raise_if(stop)
    rows = [torch.tensor([*one.prompt, *one.answer], device=lm.device) for one in lessons]
    ids, mask = padded(rows, lm.tokenizer.pad_token_id), padded([torch.ones_like(row) for row in rows])
    answered = padded([torch.ones(len(one.answer), dtype=torch.bool, device=lm.device) for one in lessons])
    longest = answered.shape[1]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    # some families compute logits for all positions
    logits = lm.forward(ids, mask, positions, last=longest + 1).logits[:, -longest - 1 : -1]
    return nn.functional.cross_entropy(logits[answered].float(), ids[:, -longest:][answered], reduction="none")


def _order(count: int, seed: int) -> Iterator[int]:
    """Numbers below ``count`` without end, each once in every round."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator).tolist()


def _end(lm: LanguageModel) -> list[int]:
    """The token that ends a turn, if the model has one."""
    ends = lm.turn_end.tokens
    own = lm.tokenizer.eos_token_id
    return [own] if own in ends else sorted(ends)[:1]
