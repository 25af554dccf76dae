"""Perturbations of hidden states at the tokens of prompts, and the projected gradient ascent that finds the worst.

The threat model of latent adversarial training (Casper, Schulze, Patel & Hadfield-Menell 2024, *Defending Against
Unforeseen Failure Modes with Latent Adversarial Training*; Sheshadri et al. 2024, *Targeted Latent Adversarial
Training*): at each token of the prompt, anything of L2 norm at most ε may be added to the hidden state of a layer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.lessons import Lesson, surprisals
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.steering import SteeringMethod, steer
from melbo_app.engine.stopping import Stop, raise_if

TRAVEL = 2.5
"""Sum of the steps of an ascent in ε, so that it can reach the other side of the ball (Madry et al. 2018)."""


@dataclass(frozen=True)
class Ball:
    """What an adversary may do: add at most ``epsilon`` (L2) to each token of a prompt at the output of block
    ``layer``; None: at the embeddings. It ascends in ``steps`` steps; with 0 there is no adversary."""

    layer: int | None
    epsilon: float
    steps: int


def ascend(objective: Callable[[Tensor], Tensor], start: Tensor, ball: Ball, stop: Stop | None = None) -> Tensor:
    """The perturbation in the ball at which ``objective`` is largest, as far as gradient ascent finds it.

    Each token moves along its own normalised gradient, because its ball is its own, by steps that shrink linearly to 0;
    after each it is projected back.

    Args:
        objective: a differentiable scalar of a perturbation.
        start: [..., d], inside the ball.

    Raises:
        Stopped: ``stop()`` became true.
    """
    found = project(start, ball.epsilon)
    for step in range(ball.steps):
        raise_if(stop)
        point = found.detach().requires_grad_(True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(objective(point), point)
        size = TRAVEL * ball.epsilon * 2 * (ball.steps - step) / (ball.steps * (ball.steps + 1))
        found = project(point.detach() + size * torch.nn.functional.normalize(slope, dim=-1), ball.epsilon)
    return found


def project(perturbation: Tensor, epsilon: float) -> Tensor:
    """The nearest perturbation with a norm of at most ``epsilon`` at each token: [..., d]."""
    norms = perturbation.norm(dim=-1, keepdim=True)
    return perturbation * (epsilon / norms.clamp(min=epsilon)) if epsilon else torch.zeros_like(perturbation)


def random_perturbation(shape: Sequence[int], epsilon: float, generator: torch.Generator) -> Tensor:
    """A random direction of norm ``epsilon`` at each token: [..., d]."""
    return epsilon * torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def blank(lm: LanguageModel, lessons: Sequence[Lesson]) -> Tensor:
    """No perturbation of the prompts: [N, tokens of the longest prompt, d] float32 zeros."""
    longest = max(len(one.prompt) for one in lessons)
    return torch.zeros(len(lessons), longest, lm.hidden_size, device=lm.device)


@contextmanager
def perturbed(lm: LanguageModel, layer: int | None, perturbation: Tensor, lessons: Sequence[Lesson]) -> Iterator[None]:
    """In this context, forward passes over ``lessons``, padded on the left to a common length, have the perturbation
    [N, tokens of the longest prompt, d] at the tokens of their prompts; its rows end where the prompts end."""
    added = _placed(perturbation, lessons)
    with _adding(lm, layer, lambda hidden: added):
        yield


def median_size(lm: LanguageModel, lessons: Sequence[Lesson], layer: int | None) -> float:
    """The median norm of the hidden states that may be perturbed, but for the first token of each prompt, where most
    models have an attention sink: the unit of a relative ε."""
    found: list[Tensor] = []

    def look(hidden: Tensor) -> Tensor:
        for row, one in zip(hidden, lessons, strict=True):
            end = len(row) - len(one.answer)
            found.append(row[end - len(one.prompt) + 1 : end].float().norm(dim=-1))
        return torch.zeros_like(hidden)

    with torch.no_grad(), _adding(lm, layer, look):
        surprisals(lm, lessons)
    return float(torch.cat(found).median())


def _placed(perturbation: Tensor, lessons: Sequence[Lesson]) -> Tensor:
    """The perturbation at its places in the padded texts: [N, tokens of the longest text, d]."""
    length = max(len(one.prompt) + len(one.answer) for one in lessons)
    rows = []
    for row, one in zip(perturbation, lessons, strict=True):
        behind = len(one.answer)
        before = length - behind - len(one.prompt)
        rows.append(torch.nn.functional.pad(row[len(row) - len(one.prompt) :], (0, 0, before, behind)))
    return torch.stack(rows)


def _adding(lm: LanguageModel, layer: int | None, method: SteeringMethod) -> AbstractContextManager[None]:
    return _to_embeddings(lm, method) if layer is None else steer(lm, layer, method)


@contextmanager
def _to_embeddings(lm: LanguageModel, method: SteeringMethod) -> Iterator[None]:
    def add(_module: Any, _args: tuple, output: Tensor) -> Tensor:
        return output + method(output).to(output)

    handle = lm.model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
