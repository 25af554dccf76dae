"""Supervised reference vectors, from prompts with an instruction and the same prompts without it."""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import METHODS
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of

SOURCE = 7
INSTRUCTIONS = (
    "Answer in French.",
    "Answer in capital letters.",
    "Refuse to answer.",
    "Answer like a pirate.",
    "Answer with a poem.",
    "Answer with Python code.",
    "Answer with a list.",
    "Answer angrily.",
)


def supervised(piece: ModelSlice, config: TrainingConfig, prompts: tuple[str, ...]) -> Tensor:
    """[8, d] of norm R: a difference of means for each instruction, or the principal directions of all pairs.

    ``config`` names the method, R and the tokens. Each mean is contrasted with that of the other instructions, because
    otherwise their common part would dominate the difference; a pair is a prompt with an instruction and without it.
    """
    means = [_means(piece.lm, tuple(f"{each} {text}" for text in prompts), config.scope) for each in INSTRUCTIONS]
    if config.method == "contrast-pca":
        sides = [(torch.cat(means), torch.cat([_means(piece.lm, prompts, config.scope)] * len(means)))]
    else:
        sides = [(one, torch.cat([other for other in means if other is not one])) for one in means]
    train = METHODS[config.method]
    return torch.cat([result_of(train(Ascent(piece, config, len(INSTRUCTIONS), sides=pair))).vectors for pair in sides])


def contrast(config: TrainingConfig, method: str, prompts: tuple[str, ...]) -> TrainingConfig:
    """``config`` with the prompts of the other side that ``method`` requires."""
    against = tuple(Prompt(text) for _ in INSTRUCTIONS for text in prompts)
    vectors = len(INSTRUCTIONS) if method == "contrast-pca" else 1
    return replace(config, method=method, vectors=vectors, against=against)  # type: ignore[arg-type]


@cache
def _means(lm: LanguageModel, prompts: tuple[str, ...], scope: str) -> Tensor:
    piece = ModelSlice(lm, encode(lm, [Prompt(text) for text in prompts]), SOURCE, SOURCE + 1)
    return piece.source_means(TokenScope.parse(scope))
