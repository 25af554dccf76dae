"""What a hardening minimises: the surprisal of good answers while an adversary perturbs the model.

Each function returns a loss for ``fine_tune`` of ``engine/lessons.py``. An adversary that may do nothing leaves plain
fine-tuning, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.encoding import EncodedPrompts, padded
from melbo_app.engine.lessons import Lesson, Loss, surprisals
from melbo_app.engine.memory import bytes_per_vector
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.perturbation import Ball, ascend, blank, perturbed, random_perturbation
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import Stop

LEAST = 1e-6
"""Smallest surprisal in nats of a token that is unlearned: below it the slope of log(1 − p) has no bound."""


@dataclass(frozen=True)
class Avoided:
    """Answers that a model should not give.

    Attributes:
        bad: the answer, as tokens.
        prompt: to which it is given; None: to any prompt.
        instead: the answer to ``prompt`` that is right; None: not known, or the lesson's for any prompt.
    """

    bad: tuple[int, ...]
    prompt: tuple[int, ...] | None = None
    instead: tuple[int, ...] | None = None


def latent_loss(lm: LanguageModel, ball: Ball, stop: Stop | None = None) -> Loss:
    """Untargeted latent adversarial training (Casper et al. 2024, eq. 1): the surprisal of the answers under the
    perturbation that makes them least likely. At the embeddings (``ball.layer`` None) it is adversarial training on
    inputs."""

    def loss(lessons: Sequence[Lesson], step: int) -> Tensor:
        def surprise(perturbation: Tensor) -> Tensor:
            with perturbed(lm, ball.layer, perturbation, lessons):
                return surprisals(lm, lessons, stop).mean()

        if not ball.steps:
            return surprisals(lm, lessons, stop).mean()
        return surprise(ascend(surprise, blank(lm, lessons), ball, stop))

    return loss


def random_loss(lm: LanguageModel, ball: Ball, seed: int, stop: Stop | None = None) -> Loss:
    """Random latent perturbations of norm ε at each token: the control of latent adversarial training."""

    def loss(lessons: Sequence[Lesson], step: int) -> Tensor:
        if not ball.epsilon:
            return surprisals(lm, lessons, stop).mean()
        shape = blank(lm, lessons).shape
        drawn = random_perturbation(shape, ball.epsilon, _generator(seed, step)).to(lm.device)
        with perturbed(lm, ball.layer, drawn, lessons):
            return surprisals(lm, lessons, stop).mean()

    return loss


def bank_loss(lm: LanguageModel, source: int, vectors: np.ndarray, seed: int, stop: Stop | None = None) -> Loss:
    """The surprisal of the answers while one of ``vectors`` [V, d], drawn for each row, is added to the output of block
    ``source`` at all tokens."""

    thetas = torch.tensor(vectors, dtype=torch.float32, device=lm.device)

    def loss(lessons: Sequence[Lesson], step: int) -> Tensor:
        rows = torch.randint(len(vectors), (len(lessons),), generator=_generator(seed, step))
        with steer(lm, source, add_rows(thetas[rows])):
            return surprisals(lm, lessons, stop).mean()

    return loss


def targeted_loss(lm: LanguageModel, ball: Ball, avoid: Sequence[Avoided], seed: int, stop: Stop | None = None) -> Loss:
    """Targeted latent adversarial training (Sheshadri et al. 2024, eq. 3 to 5): the adversary makes a bad answer
    likely, the model is trained toward the good one and away from the bad one under that perturbation, and to give its
    own answers without it.

    For each lesson one of ``avoid`` is drawn. Where its prompt is not known, the adversary works on that of the lesson,
    and the lesson's answer is the good one: a backdoor whose trigger nobody knows.
    """

    def loss(lessons: Sequence[Lesson], step: int) -> Tensor:
        own = surprisals(lm, lessons, stop).mean()
        if not ball.steps:
            return own
        drawn = torch.randint(len(avoid), (len(lessons),), generator=_generator(seed, step)).tolist()
        pairs = [(avoid[at], one) for at, one in zip(drawn, lessons, strict=True)]
        bad = [Lesson(one.prompt or kept.prompt, one.bad) for one, kept in pairs]
        known = [at for at, (one, _) in enumerate(pairs) if one.prompt is None or one.instead is not None]
        good = [Lesson(bad[at].prompt, pairs[at][0].instead or pairs[at][1].answer) for at in known]

        def likely(perturbation: Tensor) -> Tensor:
            with perturbed(lm, ball.layer, perturbation, bad):
                return -surprisals(lm, bad, stop).mean()

        found = ascend(likely, blank(lm, bad), ball, stop)
        with perturbed(lm, ball.layer, found, bad):
            away = _unlikelihood(surprisals(lm, bad, stop))
        if not good:
            return own + away
        longest = max(len(one.prompt) for one in good)
        with perturbed(lm, ball.layer, found[known][:, -longest:], good):
            toward = surprisals(lm, good, stop).mean()
        return own + away + toward

    return loss


def step_bytes(lm: LanguageModel, lessons: Sequence[Lesson], batch: int) -> int:
    """Bytes that a step of training needs for ``batch`` of the longest lessons, estimated from short ones: the
    activations that autograd keeps in all blocks, and three copies of the logits of the answers."""
    longest = sorted(lessons, key=lambda one: -len(one.prompt) - len(one.answer))[:batch]
    rows = [torch.tensor([*one.prompt, *one.answer], device=lm.device) for one in longest]
    ids, mask = padded(rows), padded([torch.ones_like(row) for row in rows])
    prompts = tuple(Prompt("-", template=False) for _ in rows)
    encoded = EncodedPrompts(prompts, ("",) * len(rows), ids, mask, mask < 0)
    logits = batch * (1 + max(len(one.answer) for one in longest)) * lm.known_ids * 4
    return bytes_per_vector(lm, encoded, 0, len(lm.blocks) - 1) * batch // len(rows) + 3 * logits


def _unlikelihood(surprisal: Tensor) -> Tensor:
    """−log(1 − p) of tokens, as a mean (Welleck et al. 2020)."""
    return -torch.log(-torch.expm1(-surprisal.clamp(min=LEAST))).mean()


def _generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step, so that a resumed training draws the same ones."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
