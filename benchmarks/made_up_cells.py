"""Made-up cells for ``benchmarks.finding``: what vectors at several R score, after so many tokens.

A few of the vectors do what is looked for, best at an R of their own and not where texts break; the others hardly ever.
A prompt makes it easier or harder. A hit is either there or not, and shows after a number of tokens (geometric); or it
comes in degrees, and what a text scores early differs from its final score by a random walk.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

VECTORS, RADII, TOKENS = 16, 6, 40


@dataclass(frozen=True)
class MadeUp:
    """Scores [V, R, U, L] after each token of each text, from the first on; and which texts are changed [V, R, U]."""

    scores: np.ndarray
    changed: np.ndarray


def made_up(seed: int, texts: int, kind: Literal["hits", "degrees"]) -> MadeUp:
    """The cells of one search over ``texts`` texts of each."""
    numbers = np.random.default_rng(seed)
    shape = (VECTORS, RADII, texts)
    many = numbers.integers(1, 6)
    strength = np.zeros(VECTORS)
    strength[numbers.choice(VECTORS, many, replace=False)] = 4.5 + 1.5 * numbers.normal(size=many)
    length = np.log(np.array([0.35, 0.5, 0.7, 1.0, 1.4, 2.0]))
    best, width = numbers.normal(0.1, 0.4, VECTORS), numbers.uniform(0.4, 0.9, VECTORS)
    breaks = numbers.normal(0.6, 0.35, VECTORS)
    effect = np.exp(-0.5 * ((length - best[:, None]) / width[:, None]) ** 2)
    logit = numbers.normal(-3.5, 0.6) + (strength[:, None] * effect)[..., None] + numbers.normal(0, 0.7, texts)
    chance = 1 / (1 + np.exp(-logit - numbers.normal(0, 0.5, shape)))
    chance = np.where((length > breaks[:, None])[..., None], 0.02, chance)
    changed = numbers.random(shape) < 1 / (1 + np.exp(-5 * (length[:, None] + 0.5)))
    after = np.arange(1, TOKENS + 1)
    if kind == "hits":
        shows = numbers.geometric(1 / numbers.uniform(4, 14), shape).clip(max=TOKENS)
        hit = numbers.random(shape) < chance
        return MadeUp((hit[..., None] & (after >= shows[..., None])).astype(float), changed)
    final = (0.6 * chance + numbers.normal(0, 0.08, shape))[..., None]
    walk = numbers.normal(size=(*shape, TOKENS)).cumsum(axis=-1)
    bridge = walk - walk[..., -1:] * after / TOKENS
    return MadeUp(final * np.minimum(1, after / 12) + 0.35 * bridge / np.sqrt(TOKENS), changed)
