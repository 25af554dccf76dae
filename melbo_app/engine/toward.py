"""Vectors that make a model say given texts."""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from melbo_app.engine.lessons import Lesson, surprisals
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import Stop, plain, raise_if

STEPS = 30
RATE = 0.1
"""Of Adam, for vectors of norm 1."""


def vectors_toward(
    lm: LanguageModel,
    lessons: Sequence[Lesson],
    source: int,
    radii: Sequence[float],
    *,
    steps: int = STEPS,
    seed: int = 0,
    stop: Stop | None = None,
) -> Generator[int, None, Tensor]:
    """Train a vector for each lesson under which its answer is likely: [N, d] float32, row i of norm ``radii[i]``.

    Minimises the surprisal of the answer by Adam on the sphere, from a random start; yields the step. This is the
    supervised bound of every method that adds one vector to the output of block ``source``: an answer that these
    vectors do not bring out is hardly within reach of vectors trained without it.

    After Subramani, Suresh & Peters 2022, *Extracting Latent Steering Vectors from Pretrained Language Models*, with a
    fixed norm.

    Raises:
        InputError: a layer that does not exist.
        Stopped: ``stop()`` became true.
    """
    lm.block("source layer", source)
    stop, sizes = plain(stop), torch.tensor(radii, dtype=torch.float32, device=lm.device)[:, None]
    start = torch.cat([random_rows(1, lm.hidden_size, 1.0, torch.Generator().manual_seed(seed))] * len(lessons))
    units = start.to(lm.device).requires_grad_(True)
    adam = torch.optim.Adam([units], lr=RATE)
    for step in range(steps):
        raise_if(stop)
        with torch.enable_grad(), steer(lm, source, add_rows(sizes * units)):
            loss = surprisals(lm, lessons, stop).sum()
            (units.grad,) = torch.autograd.grad(loss, units)
        adam.step()
        with torch.no_grad():
            units /= units.norm(dim=1, keepdim=True)
        yield step + 1
    return (sizes * units).detach()
